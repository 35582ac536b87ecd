// `swift build --static-swift-stdlib` also builds this target, and the static standard library has no Testing.
#if canImport(Testing)
  public import Testing

  extension Tag {
    /// A test that takes more than about three seconds.
    @Tag public static var slow: Self
  }
#endif
