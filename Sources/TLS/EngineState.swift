internal import COpenSSL

/// What OpenSSL's callbacks of one connection see: the two byte queues and the certificate that the peer showed.
@unsafe
struct EngineState {
  var input = unsafe ByteQueue(limit: TLSEngine.inputLimit)
  var output = unsafe ByteQueue(limit: TLSEngine.outputHardLimit)
  /// The peer's own certificate, kept by the verification callback: OpenSSL forgets it when it refuses it.
  var peerCertificate: OpaquePointer?
  /// What the cookie of a DTLS client that says hello is made from; nil in every other engine.
  var cookie: HelloCookie?

  mutating func destroy() {
    unsafe input.destroy()
    unsafe output.destroy()
    if let peerCertificate = unsafe peerCertificate { unsafe X509_free(peerCertificate) }
    unsafe peerCertificate = nil
  }
}

/// A BIO over the two queues of an `EngineState`: what memory BIOs do, but consuming is a pointer moved (theirs clears
/// the whole buffer), memory is given back when nothing waits, and both directions are bounded.
enum EngineBIO {
  /// A new BIO over `state`, which must outlive it.
  static func make(over state: UnsafeMutablePointer<EngineState>) -> OpaquePointer? {
    guard let method = unsafe method, let bio = unsafe BIO_new(method) else { return nil }
    unsafe BIO_set_data(bio, state)
    unsafe BIO_set_init(bio, 1)
    return unsafe bio
  }

  // Made once and never changed or freed, so every thread may read it.
  nonisolated(unsafe) private static let method: OpaquePointer? = {
    let type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK
    guard let method = unsafe BIO_meth_new(type, "turnpike queues") else { return nil }
    unsafe BIO_meth_set_read(method) { bio, data, size in unsafe EngineBIO.read(bio, data, size) }
    unsafe BIO_meth_set_write(method) { bio, data, size in unsafe EngineBIO.write(bio, data, size) }
    unsafe BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
    return unsafe method
  }()

  static func state(of bio: OpaquePointer?) -> UnsafeMutablePointer<EngineState>? {
    // Sound: `make` is the only place that sets the data pointer, to a state that outlives the BIO.
    unsafe BIO_get_data(bio)?.assumingMemoryBound(to: EngineState.self)
  }

  private static func read(_ bio: OpaquePointer?, _ data: UnsafeMutablePointer<CChar>?, _ size: CInt) -> CInt {
    unsafe BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
    guard let state = unsafe state(of: bio), let data = unsafe data, size > 0 else { return 0 }
    let waiting = unsafe state.pointee.input.bytes
    guard let source = waiting.baseAddress, waiting.count > 0 else {
      unsafe BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
      return -1
    }
    let taken = min(Int(size), waiting.count)
    unsafe UnsafeMutableRawPointer(data).copyMemory(from: source, byteCount: taken)
    unsafe state.pointee.input.consume(taken)
    return CInt(taken)
  }

  private static func write(_ bio: OpaquePointer?, _ data: UnsafePointer<CChar>?, _ size: CInt) -> CInt {
    unsafe BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_SHOULD_RETRY)
    guard let state = unsafe state(of: bio), let data = unsafe data, size > 0 else { return 0 }
    return unsafe state.pointee.output.append(data, Int(size)) ? size : -1
  }
}
