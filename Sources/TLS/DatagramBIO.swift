internal import COpenSSL

/// A BIO over the two queues of an `EngineState` that keeps the boundaries of datagrams. The input holds one datagram;
/// the output holds a list of datagrams, each after its length (two bytes, the host's order).
enum DatagramBIO {
  /// A new BIO over `state`, which must outlive it.
  static func make(over state: UnsafeMutablePointer<EngineState>) -> OpaquePointer? {
    unsafe EngineBIO.make(method, over: state)
  }

  /// Bytes of the length before each outgoing datagram.
  static let lengthByteCount = 2

  // The method is made once and never changed or freed, so every thread may read it.
  nonisolated(unsafe) private static let method: OpaquePointer? = {
    let type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK
    guard let method = unsafe BIO_meth_new(type, "turnpike datagrams") else { return nil }
    unsafe BIO_meth_set_read(method) { bio, data, size in
      unsafe EngineBIO.read(bio, data, size, isDatagram: true)
    }
    unsafe BIO_meth_set_write(method) { bio, data, size in unsafe DatagramBIO.write(bio, data, size) }
    unsafe BIO_meth_set_ctrl(method) { _, command, _, _ in
      switch command {
      case BIO_CTRL_FLUSH, BIO_CTRL_DGRAM_SET_NEXT_TIMEOUT: 1
      // The bytes of the IPv6 and UDP headers; those of IPv4 are fewer.
      case BIO_CTRL_DGRAM_GET_MTU_OVERHEAD: 48
      default: 0
      }
    }
    return unsafe method
  }()

  /// Queues one datagram. Without room it is lost, as on any link: DTLS retransmits its handshake.
  private static func write(_ bio: OpaquePointer?, _ data: UnsafePointer<CChar>?, _ size: CInt) -> CInt {
    unsafe BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
    guard let state = unsafe EngineBIO.state(of: bio), let data = unsafe data, var length = UInt16(exactly: size)
    else { return 0 }
    guard unsafe state.pointee.output.hasRoom(for: lengthByteCount + Int(size)) else { return size }
    _ = unsafe state.pointee.output.append(&length, lengthByteCount)
    _ = unsafe state.pointee.output.append(data, Int(size))
    return size
  }
}
