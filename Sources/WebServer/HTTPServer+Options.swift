public import TLS

extension HTTPServer {
  public struct Options: Sendable {
    public enum Place: Sendable, Equatable {
      case address(String, port: UInt16)
      case unixSocket(String)
    }

    public var place: Place
    /// The certificate of an HTTPS server; nil: no TLS.
    public var certificate: CertificateChoice?
    /// Limit of open connections; further ones wait in the kernel's queue.
    public var connections: UInt32 = 128
    /// The longest time in seconds for a request's headers, and between two parts of its body.
    public var requestSeconds: UInt32 = 5
    /// The longest time in seconds for a whole body.
    public var bodySeconds: UInt32 = 30
    /// Limit of a request's body in bytes.
    public var bodyLimit = 65_536

    public init(_ place: Place) { self.place = place }
  }
}
