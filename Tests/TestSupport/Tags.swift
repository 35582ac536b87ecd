public import Testing

extension Tag {
  /// A test that takes over two seconds.
  @Tag public static var slow: Self
}
