internal import COpenSSL
internal import Synchronization

/// Gives the server's current certificate to the connections of another library that uses OpenSSL, and limits their
/// handshake messages without application data, as those of `TLSEngine`.
///
/// This object must live as long as the library's context.
@safe
public final class CertificateChoice: Sendable {
  private let current: Mutex<TLSContext>
  private let floods = FloodCount()

  /// The number of connections that were ended because of too many handshake messages without data.
  public var floodCount: Int { floods.value }

  public init(_ context: TLSContext) { current = Mutex(context) }

  /// Replaces the certificate of later connections.
  public func use(_ context: TLSContext) { current.withLock { $0 = context } }

  /// Makes the connections of a library's `SSL_CTX` present the current certificate, with TLS 1.2 or newer.
  @unsafe
  public func install(on library: UnsafeMutableRawPointer) {
    let handle = OpaquePointer(library)
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
    _ = unsafe SSL_CTX_set_options(handle, copenssl_options())
    // An idle connection keeps no record buffers.
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_MODE, Int(SSL_MODE_RELEASE_BUFFERS), nil)
    unsafe ForeignMessageCount.install(on: handle, counting: floods)
    // Sound: the caller keeps this object until its context has ended.
    unsafe SSL_CTX_set_cert_cb(handle, Self.choose, Unmanaged.passUnretained(self).toOpaque())
  }

  private static let choose: @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?) -> CInt = { connection, user in
    guard let user = unsafe user else { return 0 }
    let choice = unsafe Unmanaged<CertificateChoice>.fromOpaque(user).takeUnretainedValue()
    return choice.current.withLock { context in
      // This call copies certificate and key, and counts a reference.
      unsafe SSL_set_SSL_CTX(connection, context.handle) == nil ? 0 : 1
    }
  }
}
