internal import COpenSSL
internal import NetworkTypes

/// The hash functions of STUN authentication.
public enum HashAlgorithm: Sendable, CaseIterable {
  case md5
  case sha1
  case sha256

  /// The number of bytes in a digest.
  public var digestByteCount: Int {
    switch self {
    case .md5: 16
    case .sha1: 20
    case .sha256: 32
    }
  }

  var name: StaticString {
    switch self {
    case .md5: "MD5"
    case .sha1: "SHA1"
    case .sha256: "SHA256"
    }
  }
}

/// Up to 32 bytes of a digest or key, inline: a copy allocates nothing.
public struct Digest: Sendable {
  @usableFromInline var storage: InlineArray<32, UInt8>
  /// The number of used bytes, at most 32.
  public private(set) var count: Int

  init(count: Int) {
    storage = InlineArray(repeating: 0)
    self.count = count
  }

  /// Sixteen zero bytes: the value before a digest is read from a record.
  public static let zero = Digest(count: 16)

  /// A digest of the bytes given; nil unless there are 1 to 32 of them.
  public init?(_ bytes: RawSpan) {
    guard (1...32).contains(bytes.byteCount) else { return nil }
    self.init(count: bytes.byteCount)
    for index in 0..<bytes.byteCount { storage[index] = bytes.byte(at: index) }
  }

  public init?(_ bytes: [UInt8]) { self.init(bytes.span.rawBytes) }

  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get { storage.span.rawBytes.extracting(0..<count) }
  }

  public var array: [UInt8] { bytes.copied() }

  /// The first `length` bytes.
  public func truncated(to length: Int) -> Digest {
    var copy = self
    copy.count = min(max(length, 0), count)
    return copy
  }

  /// Overwrites the bytes with zero, for keys that are no longer needed.
  public mutating func wipe() {
    for index in 0..<32 { storage[index] = 0 }
  }

  mutating func withStorage(_ body: (UnsafeMutablePointer<UInt8>) -> Void) {
    var span = storage.mutableSpan
    unsafe span.withUnsafeMutableBufferPointer { buffer in
      // Sound: the storage has 32 elements, so it has a base address.
      if let base = buffer.baseAddress { unsafe body(base) }
    }
  }
}

extension Digest: Equatable {
  /// Constant-time comparison: its duration does not reveal where the bytes differ.
  public static func == (a: Digest, b: Digest) -> Bool { constantTimeEqual(a.bytes, b.bytes) }
}

/// Whether two byte strings are equal, in a time that depends on their lengths only.
public func constantTimeEqual(_ a: RawSpan, _ b: RawSpan) -> Bool {
  guard a.byteCount == b.byteCount else { return false }
  return unsafe a.withUnsafeBytes { left in
    unsafe b.withUnsafeBytes { right in
      guard let l = left.baseAddress, let r = right.baseAddress else { return true }
      return unsafe CRYPTO_memcmp(l, r, left.count) == 0
    }
  }
}

/// Hashes messages one after another with one OpenSSL context, fetched once. It belongs to one thread.
///
/// OpenSSL cannot fail here: the default provider always has the algorithms. If one is missing (a FIPS-only provider
/// has no MD5), `init` stops the program at start with a message that says so.
@safe
public struct HashContext: ~Copyable {
  private let algorithm: HashAlgorithm
  private let context: OpaquePointer
  private let function: OpaquePointer

  public init(_ algorithm: HashAlgorithm) {
    self.algorithm = algorithm
    let fetched = algorithm.name.withUTF8Buffer { name in
      unsafe name.withMemoryRebound(to: CChar.self) { unsafe EVP_MD_fetch(nil, $0.baseAddress, nil) }
    }
    guard let function = unsafe fetched, let context = unsafe EVP_MD_CTX_new() else {
      fatalError("OpenSSL has no \(algorithm.name): STUN authentication needs it (is a FIPS-only provider configured?)")
    }
    unsafe self.function = function
    unsafe self.context = context
  }

  deinit {
    unsafe EVP_MD_CTX_free(context)
    unsafe EVP_MD_free(function)
  }

  /// Begins a message.
  public mutating func begin() { unsafe EVP_DigestInit_ex2(context, function, nil) }

  public mutating func update(_ bytes: RawSpan) {
    unsafe bytes.withUnsafeBytes { buffer in _ = unsafe EVP_DigestUpdate(context, buffer.baseAddress, buffer.count) }
  }

  public mutating func finish() -> Digest {
    var digest = Digest(count: algorithm.digestByteCount)
    var length: UInt32 = 0
    unsafe digest.withStorage { _ = unsafe EVP_DigestFinal_ex(context, $0, &length) }
    return digest
  }

  /// The digest of one message.
  public mutating func hash(_ bytes: RawSpan) -> Digest {
    begin()
    update(bytes)
    return finish()
  }
}

/// HMAC (RFC 2104) over messages one after another, with one OpenSSL context that gets a new key for each message. It
/// belongs to one thread. As with `HashContext`, a missing algorithm shows at start: shards make their contexts before
/// the first packet, and later contexts can fail only without memory.
@safe
public struct HMACContext: ~Copyable {
  private let algorithm: HashAlgorithm
  private let context: OpaquePointer
  private let function: OpaquePointer

  public init(_ algorithm: HashAlgorithm) {
    self.algorithm = algorithm
    guard let function = unsafe EVP_MAC_fetch(nil, "HMAC", nil), let context = unsafe EVP_MAC_CTX_new(function) else {
      fatalError("OpenSSL has no HMAC: STUN authentication needs it")
    }
    unsafe self.function = function
    unsafe self.context = context
    // The digest is set once; later calls of `EVP_MAC_init` only set the key.
    _ = unsafe copenssl_use_digest(context, "\(algorithm.name)")
  }

  deinit {
    unsafe EVP_MAC_CTX_free(context)
    unsafe EVP_MAC_free(function)
  }

  /// Begins a message with a key.
  public mutating func begin(key: RawSpan) {
    unsafe key.withUnsafeBytes { buffer in
      _ = unsafe EVP_MAC_init(
        context, buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), buffer.count, nil)
    }
  }

  public mutating func update(_ bytes: RawSpan) {
    unsafe bytes.withUnsafeBytes { buffer in
      _ = unsafe EVP_MAC_update(context, buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), buffer.count)
    }
  }

  public mutating func finish() -> Digest {
    var digest = Digest(count: algorithm.digestByteCount)
    var length = 0
    unsafe digest.withStorage { _ = unsafe EVP_MAC_final(context, $0, &length, 32) }
    return digest
  }

  /// The MAC of one message.
  public mutating func authenticate(_ bytes: RawSpan, key: RawSpan) -> Digest {
    begin(key: key)
    update(bytes)
    return finish()
  }
}
