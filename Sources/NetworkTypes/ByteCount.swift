/// A number of bytes: of a limit, a file or memory. An offset or length within a buffer is an `Int`.
public struct ByteCount: RawRepresentable, Hashable, Comparable, Sendable, BitwiseCopyable {
  public let rawValue: UInt64

  @inlinable
  public init(rawValue: UInt64) { self.rawValue = rawValue }

  @inlinable
  public static func bytes(_ count: UInt64) -> ByteCount { ByteCount(rawValue: count) }

  @inlinable
  public static func kibibytes(_ count: UInt64) -> ByteCount { ByteCount(rawValue: count << 10) }

  @inlinable
  public static func mebibytes(_ count: UInt64) -> ByteCount { ByteCount(rawValue: count << 20) }

  public static let zero = ByteCount(rawValue: 0)

  @inlinable
  public static func < (a: ByteCount, b: ByteCount) -> Bool { a.rawValue < b.rawValue }
}

extension Int {
  /// The number, to compare it with the length of a buffer; `.max` if it is larger.
  @inlinable
  public init(_ count: ByteCount) { self.init(clamping: count.rawValue) }
}

/// A rate of data, as a limit on bandwidth.
public struct ByteRate: Hashable, Sendable, BitwiseCopyable {
  /// The bytes of each second; zero: no limit.
  public let perSecond: ByteCount

  @inlinable
  public init(perSecond: ByteCount) { self.perSecond = perSecond }

  @inlinable
  public static func bytesPerSecond(_ count: UInt64) -> ByteRate { ByteRate(perSecond: .bytes(count)) }

  public static let unlimited = ByteRate(perSecond: .zero)

  @inlinable
  public var isUnlimited: Bool { perSecond == .zero }
}
