internal import COpenSSL

/// A BIO over the two queues of an `EngineState` that keeps datagrams apart: one at a time comes in, and what goes
/// out is a list of datagrams, each with its length (two bytes, the host's order) in front.
enum DatagramBIO {
  /// A new BIO over `state`, which must outlive it.
  static func make(over state: UnsafeMutablePointer<EngineState>) -> OpaquePointer? {
    guard let method = unsafe method, let bio = unsafe BIO_new(method) else { return nil }
    unsafe BIO_set_data(bio, state)
    unsafe BIO_set_init(bio, 1)
    return unsafe bio
  }

  /// Of the length in front of each outgoing datagram.
  static let lengthByteCount = 2

  // Made once and never changed or freed, so every thread may read it.
  nonisolated(unsafe) private static let method: OpaquePointer? = {
    let type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK
    guard let method = unsafe BIO_meth_new(type, "turnpike datagrams") else { return nil }
    unsafe BIO_meth_set_read(method) { bio, data, size in unsafe DatagramBIO.read(bio, data, size) }
    unsafe BIO_meth_set_write(method) { bio, data, size in unsafe DatagramBIO.write(bio, data, size) }
    unsafe BIO_meth_set_ctrl(method) { _, command, _, _ in
      switch command {
      case BIO_CTRL_FLUSH, BIO_CTRL_DGRAM_SET_NEXT_TIMEOUT: 1
      // IPv6 and UDP headers: the larger of the two families.
      case BIO_CTRL_DGRAM_GET_MTU_OVERHEAD: 48
      default: 0
      }
    }
    return unsafe method
  }()

  /// The one datagram that waits, whole; what does not fit is cut off, as a socket does.
  private static func read(_ bio: OpaquePointer?, _ data: UnsafeMutablePointer<CChar>?, _ size: CInt) -> CInt {
    unsafe BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
    guard let state = unsafe EngineBIO.state(of: bio), let data = unsafe data, size > 0 else { return 0 }
    let waiting = unsafe state.pointee.input.bytes
    guard let source = waiting.baseAddress, waiting.count > 0 else {
      unsafe BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
      return -1
    }
    let taken = min(Int(size), waiting.count)
    unsafe UnsafeMutableRawPointer(data).copyMemory(from: source, byteCount: taken)
    unsafe state.pointee.input.consume(waiting.count)
    return CInt(taken)
  }

  /// One datagram. One that finds no room is lost, as on any link: DTLS sends what matters again.
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
