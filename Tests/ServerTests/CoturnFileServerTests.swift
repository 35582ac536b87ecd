import Crypto
import ClientIO
import Foundation
import NetworkTypes
import System
import TestSupport
import Testing
import TLS
import TURNClient

/// turnserver.conf files as other projects' documents print them: `turnpike serve --coturn` runs from them and carries a
/// call. The test replaces only addresses, ports, paths and secrets.
@Suite("A call over a server with another project's turnserver.conf", .serialized)
struct CoturnFileServerTests {
  struct File: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// `PORT` and `TLS` are ports, `FOLDER` has the certificate.
    var text: String
    var transports: [TransportProtocol]
  }

  private static let secret = "n0rth-wind"

  static let files = [
    File(
      testDescription: "Matrix Synapse",
      text: """
        use-auth-secret
        static-auth-secret=n0rth-wind
        realm=turn.myserver.org
        no-tcp-relay
        denied-peer-ip=0.0.0.0-0.255.255.255
        denied-peer-ip=10.0.0.0-10.255.255.255
        denied-peer-ip=192.88.99.0-192.88.99.255
        no-multicast-peers
        allowed-peer-ip=10.0.0.1
        user-quota=12
        total-quota=1200
        cert=FOLDER/chain.pem
        pkey=FOLDER/key.pem
        no-tls
        no-dtls
        """, transports: [.udp, .tcp]),
    File(
      testDescription: "Nextcloud Talk",
      text: """
        listening-port=PORT
        fingerprint
        use-auth-secret
        static-auth-secret=n0rth-wind
        realm=your.domain.tld
        total-quota=0
        bps-capacity=0
        stale-nonce
        no-multicast-peers
        """, transports: [.udp, .tcp]),
    File(
      testDescription: "Jitsi Meet",
      text: """
        use-auth-secret
        keep-address-family
        static-auth-secret=n0rth-wind
        realm=meet.example.org
        cert=FOLDER/chain.pem
        pkey=FOLDER/key.pem
        no-multicast-peers
        no-cli
        no-loopback-peers
        no-tcp-relay
        no-tcp
        tls-listening-port=TLS
        no-tlsv1
        no-tlsv1_1
        cipher-list=ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256
        denied-peer-ip=0.0.0.0-0.255.255.255
        denied-peer-ip=10.0.0.0-10.255.255.255
        denied-peer-ip=100.64.0.0-100.127.255.255
        denied-peer-ip=172.16.0.0-172.31.255.255
        denied-peer-ip=240.0.0.0-255.255.255.255
        syslog
        """, transports: [.udp, .tls]),
    File(
      testDescription: "BigBlueButton",
      text: """
        tls-listening-port=TLS
        min-port=40000
        max-port=40999
        verbose
        fingerprint
        lt-cred-mech
        use-auth-secret
        static-auth-secret=n0rth-wind
        realm=example.com
        cert=FOLDER/chain.pem
        pkey=FOLDER/key.pem
        cipher-list="ECDHE-RSA-AES256-GCM-SHA384"
        keep-address-family
        no-cli
        no-rfc5780
        no-stun-backward-compatibility
        response-origin-only-with-rfc5780
        syslog
        """, transports: [.udp, .tcp, .tls]),
  ]

  /// A folder with the file, and a certificate.
  private func prepare(_ text: String, _ port: UInt16) throws -> (TemporaryDirectory, String) {
    let folder = try TemporaryDirectory()
    let pair = try SelfSignedCertificate(
      commonName: "localhost", hostNames: ["localhost"], addresses: [],
      now: UnixTime(seconds: Int64(Date().timeIntervalSince1970)))
    try folder.write(pair.certificate, to: "chain.pem")
    try folder.write(pair.key, to: "key.pem")
    var text = text.replacing("PORT", with: "\(port)").replacing("TLS", with: "\(port + 1)").replacing(
      "FOLDER", with: folder.path)
    if !text.contains("\nlistening-port") && !text.hasPrefix("listening-port") { text += "\nlistening-port=\(port)" }
    text += "\nlistening-ip=127.0.0.1\nrelay-ip=127.0.0.1\n"
    return (folder, try folder.write(text, to: "turnserver.conf"))
  }

  /// Two clients exchange data over their relayed addresses.
  private func call(_ one: consuming AllocationSession, _ two: consuming AllocationSession) throws {
    var first = one
    var second = two
    let soon = Instant.read().advanced(by: .seconds(5))
    try first.allocate()
    try second.allocate()
    let address = try #require(first.client.grant?.relayedAddresses.first)
    let other = try #require(second.client.grant?.relayedAddresses.first)
    try first.bindChannel(to: other)
    try second.createPermission([address])
    try first.send([1, 2, 3], to: other, until: soon)
    let heard = try #require(try second.receiveData(until: soon))
    #expect(heard.data == [1, 2, 3] && heard.peer == address)
    try second.send([4, 5], to: address, until: soon)
    #expect(try first.receiveData(until: soon)?.data == [4, 5])
  }

  @Test("A call with a time-limited name, over each transport of the file", arguments: files)
  func documents(file: File) throws {
    let port = PortBlock.coturnFiles[0]
    let (folder, path) = try prepare(file.text, port)
    let server = try RunningServer(
      port: port, ["state-directory=\(folder.path("state"))", "drain-timeout=0s", "admin.listen="],
      isConfiguredByFile: true, coturn: path)
    let name = "\(Now.read().wall.advanced(by: .seconds(3600))):carol"
    let password = String(
      decoding: TimeLimitedCredential.password(username: Array(name.utf8), secret: Array(Self.secret.utf8)),
      as: UTF8.self)
    for transport in file.transports {
      try call(server.session(name, password, transport: transport), server.session(name, password))
    }
  }

  @Test("A call with coturn's own example, to which the test adds a user")
  func example() throws {
    let places = ["/usr/share/doc/coturn/examples/etc/turnserver.conf", "/etc/turnserver.conf"]
    guard let place = places.first(where: { FileManager.default.fileExists(atPath: $0) }) else {
      print("NOTE: coturn's example is not installed: no call was made with it")
      return
    }
    let port = PortBlock.coturnFiles[1]
    let text = try String(contentsOfFile: place, encoding: .utf8)
    let (folder, path) = try prepare(text + "\nlt-cred-mech\nuser=carol:secret\nrealm=example.org\n", port)
    let server = try RunningServer(
      port: port,
      ["state-directory=\(folder.path("state"))", "drain-timeout=0s", "admin.listen="], isConfiguredByFile: true,
      coturn: path)
    for transport in [TransportProtocol.udp, .tcp] {
      try call(server.session("carol", "secret", transport: transport), server.session("carol", "secret"))
    }
  }
}
