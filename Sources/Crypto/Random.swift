internal import COpenSSL

/// Random bytes from OpenSSL's generator, which the kernel seeds: for keys, tokens and seeds.
///
/// The protocol modules never call this: their creator passes a seed (tests pass a fixed seed).
public enum SecureRandom {
  public static func bytes(_ count: Int) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: max(count, 0))
    let status = unsafe result.withUnsafeMutableBufferPointer { buffer in
      unsafe RAND_bytes(buffer.baseAddress, Int32(clamping: buffer.count))
    }
    // A server without randomness must stop: its nonces and ports could be guessed.
    guard status == 1 else { fatalError("OpenSSL cannot get random bytes from the kernel") }
    return result
  }

  public static func word() -> UInt64 {
    bytes(8).reduce(0) { $0 << 8 | UInt64($1) }
  }
}

/// ChaCha20-based generator for the protocol's random numbers (relay ports, identifiers): seeded once with 32 bytes,
/// then deterministic, and unpredictable without the seed. It makes no system calls.
@safe
public struct SeededGenerator: ~Copyable {
  private let context: OpaquePointer
  private var block = InlineArray<256, UInt8>(repeating: 0)
  private var used = 256
  private let seed: [UInt8]
  /// The number of words that have been taken.
  public private(set) var position: UInt64 = 0

  /// Uses up to 32 bytes of the seed; a shorter seed is padded with zeros (tests only).
  public init(seed: [UInt8]) {
    // Each shard makes one generator at start; no input from the network can reach this error.
    guard let context = unsafe EVP_CIPHER_CTX_new() else { fatalError("OpenSSL: out of memory") }
    unsafe self.context = context
    let key = Array((seed + [UInt8](repeating: 0, count: 32)).prefix(32))
    self.seed = key
    begin(atBlock: 0)
  }

  /// - Parameter block: the counter of ChaCha20, whose blocks have 64 bytes; it is in the first bytes of OpenSSL's
  ///   initialisation vector.
  private func begin(atBlock block: UInt32) {
    var initialisation = [UInt8](repeating: 0, count: 16)
    for index in 0..<4 { initialisation[index] = UInt8(truncatingIfNeeded: block >> UInt32(8 * index)) }
    let status = unsafe EVP_EncryptInit_ex(context, EVP_chacha20(), nil, seed, initialisation)
    guard status == 1 else { fatalError("OpenSSL has no ChaCha20") }
  }

  /// Continues after this number of words, like another generator of the same seed that has returned them.
  public mutating func move(to words: UInt64) {
    // A refill gives 32 words from four blocks.
    begin(atBlock: UInt32(truncatingIfNeeded: words / 32 * 4))
    used = 256
    position = words / 32 * 32
    while position < words { _ = next() }
  }

  deinit { unsafe EVP_CIPHER_CTX_free(context) }

  /// The next 64 random bits.
  public mutating func next() -> UInt64 {
    if used > 248 { refill() }
    position &+= 1
    var value: UInt64 = 0
    for index in used..<(used + 8) { value = value << 8 | UInt64(block[index]) }
    used += 8
    return value
  }

  /// A number in `0..<bound` without modulo bias; 0 for a bound of 0.
  public mutating func next(below bound: UInt64) -> UInt64 {
    guard bound > 1 else { return 0 }
    let limit = UInt64.max - UInt64.max % bound
    while true {
      let value = next()
      if value < limit { return value % bound }
    }
  }

  private mutating func refill() {
    let zeros = InlineArray<256, UInt8>(repeating: 0)
    var span = block.mutableSpan
    unsafe span.withUnsafeMutableBufferPointer { output in
      unsafe zeros.span.withUnsafeBufferPointer { input in
        var length: Int32 = 0
        _ = unsafe EVP_EncryptUpdate(context, output.baseAddress, &length, input.baseAddress, 256)
      }
    }
    used = 0
  }
}
