internal import COpenSSL

/// The state that OpenSSL's callbacks of one connection use: the two byte queues, the peer's certificate, and the
/// number of its messages without data.
@unsafe
struct EngineState {
  var input = unsafe ByteQueue(limit: TLSEngine.inputLimit)
  var output = unsafe ByteQueue(limit: TLSEngine.outputHardLimit)
  /// The peer's certificate, kept by the verification callback, because OpenSSL drops a refused one.
  var peerCertificate: OpaquePointer?
  /// The inputs of the cookie of a DTLS client; nil except in a DTLS server's engine.
  var cookie: HelloCookie?
  /// The number of handshake messages, and of our alerts, since the peer's last application data.
  var messagesWithoutData = 0

  mutating func destroy() {
    unsafe input.destroy()
    unsafe output.destroy()
    if let peerCertificate = unsafe peerCertificate { unsafe X509_free(peerCertificate) }
    unsafe peerCertificate = nil
  }
}

/// A BIO over the two queues of an `EngineState`. Unlike OpenSSL's memory BIO it consumes bytes by moving a pointer
/// (OpenSSL's clears the whole buffer), releases memory when it is empty, and limits both directions.
enum EngineBIO {
  /// A new BIO over `state`, which must outlive it.
  static func make(over state: UnsafeMutablePointer<EngineState>) -> OpaquePointer? {
    unsafe make(method, over: state)
  }

  /// Makes a BIO with a method and `state`.
  static func make(_ method: OpaquePointer?, over state: UnsafeMutablePointer<EngineState>) -> OpaquePointer? {
    guard let method = unsafe method, let bio = unsafe BIO_new(method) else { return nil }
    unsafe BIO_set_data(bio, state)
    unsafe BIO_set_init(bio, 1)
    return unsafe bio
  }

  // The method is made once and never changed or freed, so every thread may read it.
  nonisolated(unsafe) private static let method: OpaquePointer? = {
    let type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK
    guard let method = unsafe BIO_meth_new(type, "turnpike queues") else { return nil }
    unsafe BIO_meth_set_read(method) { bio, data, size in
      unsafe EngineBIO.read(bio, data, size, isDatagram: false)
    }
    unsafe BIO_meth_set_write(method) { bio, data, size in unsafe EngineBIO.write(bio, data, size) }
    unsafe BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
    return unsafe method
  }()

  static func state(of bio: OpaquePointer?) -> UnsafeMutablePointer<EngineState>? {
    // Sound: `make` is the only place that sets the data pointer, to a state that outlives the BIO.
    unsafe BIO_get_data(bio)?.assumingMemoryBound(to: EngineState.self)
  }

  /// Reads from the input. A longer datagram is truncated, as by a socket.
  static func read(
    _ bio: OpaquePointer?, _ data: UnsafeMutablePointer<CChar>?, _ size: CInt, isDatagram: Bool
  ) -> CInt {
    unsafe BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
    guard let state = unsafe state(of: bio), let data = unsafe data, size > 0 else { return 0 }
    let waiting = unsafe state.pointee.input.bytes
    guard let source = waiting.baseAddress, waiting.count > 0 else {
      unsafe BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
      return -1
    }
    let taken = min(Int(size), waiting.count)
    unsafe UnsafeMutableRawPointer(data).copyMemory(from: source, byteCount: taken)
    unsafe state.pointee.input.consume(isDatagram ? waiting.count : taken)
    return CInt(taken)
  }

  private static func write(_ bio: OpaquePointer?, _ data: UnsafePointer<CChar>?, _ size: CInt) -> CInt {
    unsafe BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
    guard let state = unsafe state(of: bio), let data = unsafe data, size > 0 else { return 0 }
    return unsafe state.pointee.output.append(data, Int(size)) ? size : -1
  }
}
