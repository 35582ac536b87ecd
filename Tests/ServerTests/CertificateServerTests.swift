import ClientIO
import Foundation
import NetIO
import NetworkTypes
import STUN
import System
import TestSupport
import Testing
import TLS

/// `tls.client-ca`, and certificates that the server name chooses (`tls.certificates`), over TLS and DTLS.
@Suite("Certificates of clients, and of several names", .serialized)
struct CertificateServerTests {
  /// An authority that issues client certificates, made by OpenSSL's tool.
  private struct Authority {
    let folder: TemporaryDirectory
    var root: String { folder.path("root.pem") }

    init() throws {
      folder = try TemporaryDirectory()
      try run(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-keyout", folder.path("root.key"), "-out", root, "-subj", "/CN=authority")
    }

    /// A certificate that is good for clients, or for servers alone.
    func issue(use: String = "clientAuth") throws -> CertificateFiles {
      let (key, request, chain) = (folder.path("client.key"), folder.path("client.csr"), folder.path("client.pem"))
      let extensions = try folder.write("extendedKeyUsage=\(use)\n", to: "client.cnf")
      try run(
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", request,
        "-subj", "/CN=client")
      try run(
        "x509", "-req", "-in", request, "-CA", root, "-CAkey", folder.path("root.key"), "-set_serial", "7", "-days",
        "2", "-extfile", extensions, "-out", chain)
      return try CertificateFiles(chain: .path(chain), key: .path(key))
    }

    private func run(_ words: String...) throws {
      let result = try Child.run(CertificateServerTests.openssl, words, environment: [:])
      try #require(result.status == 0, "\(result.errors)")
    }
  }

  static let openssl = "/usr/bin/openssl"
  static let hasOpenSSL = FileManager.default.isExecutableFile(atPath: openssl)

  /// The subject of the server's certificate, after the answer to a Binding request over this connection; nil if the
  /// handshake fails, or the server ends the connection after it.
  private func subject(
    _ server: RunningServer, _ transport: TransportProtocol, _ certificate: CertificateFiles? = nil,
    name: String = "localhost"
  ) throws -> String? {
    let context = try TLSContext(client: .none, certificate: certificate, isDatagram: transport == .dtls)
    do throws(ConnectionFailure) {
      var connection = try ClientConnection(
        ClientConnection.Settings(
          transport: transport, remote: SocketAddress(.ipv4Loopback, port: server.tlsPort), serverName: name,
          tls: context),
        until: Instant.read().advanced(by: .seconds(3)))
      var writer = MessageWriter()
      writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: 1, low: 2))
      let deadline = Instant.read().advanced(by: .seconds(3))
      try connection.send(writer.bytes, until: deadline)
      guard try connection.receive(until: deadline) else { return nil }
      return connection.tlsSummary?.certificate?.subject
    } catch {
      return nil
    }
  }

  @Test(
    "With tls.client-ca only clients with a certificate of this authority are served", .enabled(if: hasOpenSSL),
    arguments: [TransportProtocol.tls, .dtls])
  func clientAuthority(transport: TransportProtocol) throws {
    let (clients, others) = (try Authority(), try Authority())
    let port = PortBlock.certificates[transport == .tls ? 0 : 1]
    let server = try RunningServer(
      port: port, ["tls.client-ca=\(clients.root)", "log.level=info"],
      listeners: "udp://127.0.0.1:\(port),tls://127.0.0.1:\(port + 1),dtls://127.0.0.1:\(port + 1)")
    #expect(try subject(server, transport, try clients.issue()) != nil)
    #expect(try subject(server, transport) == nil)
    #expect(server.logs("client-certificate-refused client=127.0.0.1:"))
    #expect(try subject(server, transport, try others.issue()) == nil)
    #expect(try subject(server, transport, try clients.issue(use: "serverAuth")) == nil)
    // Plain messages need no certificate, so these listeners refuse them.
    #expect(try !ServerTests().bind(SocketAddress(.ipv4Loopback, port: server.tlsPort), milliseconds: 300))
    #expect(try ServerTests().bind(SocketAddress(.ipv4Loopback, port: server.port)))
    #expect(try subject(server, transport, try clients.issue()) != nil)
  }

  @Test("A session is resumed after a reload, unless the clients' authority has changed", .enabled(if: hasOpenSSL))
  func resumption() throws {
    let (clients, others, folder) = (try Authority(), try Authority(), try TemporaryDirectory())
    let root = try folder.write(String(contentsOfFile: clients.root, encoding: .utf8), to: "ca.pem")
    let port = PortBlock.certificates[4]
    let server = try RunningServer(
      port: port, ["tls.client-ca=\(root)", "log.level=info"],
      listeners: "udp://127.0.0.1:\(port),tls://127.0.0.1:\(port + 1)")
    let client = try clients.issue()
    func isResumed(_ option: String) throws -> Bool {
      let result = try Child.run(
        Self.openssl,
        [
          "s_client", "-connect", "127.0.0.1:\(server.tlsPort)", "-tls1_2", "-cert", client.chain.name, "-key",
          client.key.name, option, folder.path("session.pem"),
        ], environment: [:])
      try #require(result.output.contains("CONNECTED"), "\(result.output)\(result.errors)")
      return result.output.contains("Reused, TLSv1.2")
    }
    #expect(try !isResumed("-sess_out"))
    server.send(SIGHUP)
    #expect(server.logs("certificates-loaded"))
    #expect(try isResumed("-sess_in"))
    try folder.write(String(contentsOfFile: others.root, encoding: .utf8), to: "ca.pem")
    server.send(SIGHUP)
    #expect(try AdminServerTests().soon { try !isResumed("-sess_in") })
  }

  @Test("tls.minimum-version refuses older versions", .enabled(if: hasOpenSSL), arguments: ["1.2", "1.3"])
  func minimumVersion(version: String) throws {
    let port = PortBlock.certificates[5]
    let server = try RunningServer(
      port: port, ["tls.minimum-version=\(version)"], listeners: "tls://127.0.0.1:\(port + 1)")
    for option in ["-tls1_2", "-tls1_3"] {
      let result = try Child.run(
        Self.openssl, ["s_client", "-connect", "127.0.0.1:\(server.tlsPort)", option], environment: [:])
      #expect((result.status == 0) == (option == "-tls1_3" || version == "1.2"), "\(option): \(result.errors)")
    }
  }

  @Test(
    "The requested server name chooses the certificate; another name, and none, get tls.certificate",
    arguments: [TransportProtocol.tls, .dtls])
  func serverName(transport: TransportProtocol) throws {
    let folder = try TemporaryDirectory()
    func pair(_ name: String, _ hosts: [String]) throws -> String {
      let made = try SelfSignedCertificate(
        commonName: name, hostNames: hosts, addresses: [], now: UnixTime(seconds: Int64(Date().timeIntervalSince1970)))
      let chain = try folder.write(made.certificate, to: "\(name).pem")
      return "certificate: \(chain), private-key: \(try folder.write(made.key, to: "\(name).key"))"
    }
    let file = try folder.write(
      """
      auth: { users: { alice: secret } }
      tls:
        { \(try pair("main", ["turn.example.org"])),
          certificates: [ { \(try pair("north", ["north.example.org"])) },
            { \(try pair("south", ["*.south.example.org"])) } ] }
      """, to: "turnpike.yml")
    let server = try RunningServer(
      port: PortBlock.certificates[transport == .tls ? 2 : 3], users: false, configuration: file)
    for (name, expected) in [
      ("turn.example.org", "main"), ("north.example.org", "north"), ("NORTH.example.org", "north"),
      ("a.south.example.org", "south"), ("a.b.south.example.org", "main"), ("other.example.org", "main"),
      ("127.0.0.1", "main"),
    ] {
      #expect(try subject(server, transport, name: name) == "CN=\(expected)", "\(name)")
    }
  }
}
