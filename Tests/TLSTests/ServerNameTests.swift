import NetworkTypes
import Testing

@testable import TLS

@Suite("Several certificates and the certificates of clients")
struct ServerNameTests {
  private let standard: Identity
  private let north: Identity
  private let south: Identity

  init() throws {
    standard = try Identity(hostNames: ["turn.example.org"])
    north = try Identity(hostNames: ["north.example", "*.north.example"], addresses: [])
    south = try Identity(hostNames: ["south.example", "*.example", "north.example"], addresses: [])
  }

  @Test(
    "The requested name chooses the first certificate that has it; a wildcard stands for one label",
    arguments: [
      ("turn.example.org", 0), ("unknown.test", 0), ("north.example", 1), ("North.Example", 1),
      ("a.north.example", 1), ("a.b.north.example", 0), (".north.example", 0), ("south.example", 2),
      ("west.example", 2), ("example", 0), ("", 0),
    ] as [(String, Int)])
  func choice(name: String, index: Int) throws {
    let context = try TLSContext(server: standard.files, others: [north.files, south.files])
    let chosen = context.context(for: name)
    let others = [context.context(for: "north.example"), context.context(for: "south.example")]
    #expect(index == 0 ? chosen == nil : chosen === others[index - 1])
    guard !name.isEmpty, !name.hasPrefix(".") else { return }
    var server = try TLSEngine(server: context)
    var client = try TLSEngine(client: TLSContext(client: .none), serverName: name)
    exchange(&client, &server)
    let fingerprints = [standard, north, south].map(\.files.leaf.fingerprint)
    #expect(client.summary.certificate?.fingerprint == fingerprints[index])
  }

  @Test("Over DTLS a client's Certificate is accepted only if the server requests one")
  func fragments() {
    for (number, length, isPlain) in [(2, 4096, true), (4, 100, true), (5, 100, false), (2, 9000, false)] {
      let message: [UInt8] = [11, 0, UInt8(length >> 8), UInt8(length & 0xFF), 0, UInt8(number), 0, 0, 0, 0, 0, 1, 7]
      let record: [UInt8] = [22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 2, 0, UInt8(message.count)] + message
      #expect(HandshakeFragments(record.span.rawBytes, hasCertificate: true) == (isPlain ? .plain : .excessive))
      #expect(HandshakeFragments(record.span.rawBytes) == .excessive)
    }
  }

  @Test("A session is resumed with its own certificate only", arguments: [TLSVersion.tls12, .tls13])
  func sessions(version: TLSVersion) throws {
    let context = try TLSContext(
      server: standard.files, others: [north.files, south.files], ticketKeys: TLSContext.TicketKeys())
    let clientContext = try TLSContext(client: .none, minimumVersion: version)
    var first = try TLSEngine(client: clientContext, serverName: "north.example")
    var server = try TLSEngine(server: context)
    exchange(&first, &server)
    for (name, isResumed) in [("a.north.example", true), ("south.example", false), ("turn.example.org", false)] {
      var again = try TLSEngine(client: clientContext, serverName: name)
      again.resumeSession(of: first)
      var other = try TLSEngine(server: context)
      exchange(&again, &other)
      #expect(again.isEstablished == true)
      #expect(again.summary.isResumed == isResumed, "\(name)")
    }
  }

  @Test("An engine outlives its context's owner")
  func lifetime() throws {
    func engine() throws -> TLSEngine {
      try TLSEngine(server: TLSContext(server: standard.files, others: [north.files]))
    }
    var server = try engine()
    var client = try TLSEngine(client: TLSContext(client: .none), serverName: "north.example")
    exchange(&client, &server)
    #expect(client.summary.certificate?.dnsNames == ["north.example", "*.north.example"])
  }

  @Test(
    "Malformed server_name extensions name no server",
    arguments: [
      [], [0, 0], [0, 4, 0, 0], [0, 4, 0, 0, 1], [0, 4, 1, 0, 1, 97], [0, 3, 0, 0, 0], [0, 5, 0, 0, 3, 97, 97],
      [0, 4, 0, 1, 0] + [UInt8](repeating: 97, count: 256), [0, 4, 0, 0, 1, 0xFF],
    ])
  func malformed(bytes: [UInt8]) { #expect(ServerNameChoice.hostName(in: bytes) == nil) }

  @Test("A host name is read, and what follows is ignored")
  func hostName() { #expect(ServerNameChoice.hostName(in: [0, 9, 0, 0, 1, 97, 0, 0, 1, 98]) == "a") }

  @Test("A client whose certificate is of other authorities, or not for clients, is refused with the reason")
  func clientCertificates() throws {
    let context = try TLSContext(
      server: standard.files, others: [north.files],
      clientAuthorities: pem(south.selfSigned.certificate, "client-ca"))
    #expect(context.requiresClientCertificate)
    // The client authorities have issued the certificate of `south`, but for servers only.
    for identity in [south, north] {
      for name in ["turn.example.org", "north.example"] {
        var server = try TLSEngine(server: context)
        var client = try TLSEngine(
          client: TLSContext(client: .none, certificate: identity.files), serverName: name)
        exchange(&client, &server)
        #expect(server.failure?.cause == .certificate, "\(name)")
      }
    }
  }
}
