/// A number of bytes: of a limit, a buffer, or a rate for each second.
public struct ByteCount: RawRepresentable, Hashable, Comparable, Sendable, BitwiseCopyable {
  public let rawValue: UInt64

  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  @inlinable
  public static func bytes(_ count: UInt64) -> ByteCount { ByteCount(rawValue: count) }

  public static let zero = ByteCount(rawValue: 0)

  @inlinable
  public static func < (a: ByteCount, b: ByteCount) -> Bool { a.rawValue < b.rawValue }
}
