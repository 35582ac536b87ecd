internal import NetworkTypes
internal import STUN

/// A relayed transport address: the index of a relay address in `RelayedAddresses.entries`, and a port.
struct RelayedAddress: Hashable, BitwiseCopyable {
  var ordinal: UInt8
  var port: UInt16

  init(_ ordinal: Int, _ port: UInt16) {
    self.ordinal = UInt8(truncatingIfNeeded: ordinal)
    self.port = port
  }

  /// The next higher port, for the pairs of EVEN-PORT.
  var next: RelayedAddress { RelayedAddress(Int(ordinal), port &+ 1) }
}

/// The owner of a relay port as a 32-bit hash: the user, or without credentials the client's address. If two users have
/// the same tag, one may only get the other's port a minute early.
struct PortOwner {
  let tag: UInt32

  init(username: [UInt8], client: ClientPath) {
    // FNV-1a.
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    func mix(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    for byte in username { mix(byte) }
    if username.isEmpty {
      let address = client.address.address
      for shift in stride(from: UInt64(0), to: 64, by: 8) {
        mix(UInt8(truncatingIfNeeded: address.high >> shift))
        mix(UInt8(truncatingIfNeeded: address.low >> shift))
      }
    }
    tag = UInt32(truncatingIfNeeded: hash >> 32 ^ hash)
  }
}
