/// SplitMix64, which gives the same numbers for the same seed.
public struct SplitMix: RandomNumberGenerator, Sendable {
  public var state: UInt64

  public init(state: UInt64) { self.state = state }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Flips, cuts, repeats or inserts bytes, up to three times.
  public mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for _ in 0...Int.random(in: 0..<3, using: &self) {
      guard !bytes.isEmpty else { break }
      let index = Int.random(in: 0..<bytes.count, using: &self)
      switch Int.random(in: 0..<7, using: &self) {
      case 0: bytes[index] = UInt8.random(in: 0...255, using: &self)
      case 1: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &self)
      // Boundary values of lengths and counts.
      case 2: bytes[index] = [0, 0x7F, 0x80, 0xFF].randomElement(using: &self) ?? 0
      case 3: bytes.removeSubrange(index...)
      case 4: bytes.remove(at: index)
      case 5: bytes.insert(UInt8.random(in: 0...255, using: &self), at: index)
      default: bytes += bytes[..<index]
      }
    }
    return bytes
  }
}
