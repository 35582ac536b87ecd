import NetworkTypes
import Testing
import TestSupport
import TURNClient

@Suite("STUN and TURN URIs")
struct ServerURITests {
  @Test(
    "Valid URIs are read",
    arguments: [
      ("stun:example.org", "stun:example.org", .udp, 3478), ("stuns:example.org", "stuns:example.org", .tls, 5349),
      ("turn:example.org", "turn:example.org", .udp, 3478), ("TURN:Example.org:80", "turn:Example.org:80", .udp, 80),
      ("turn:example.org?transport=tcp", "turn:example.org?transport=tcp", .tcp, 3478),
      ("turn:192.0.2.1:3479?transport=udp", "turn:192.0.2.1:3479?transport=udp", .udp, 3479),
      ("turns:example.org", "turns:example.org", .tls, 5349),
      ("turns:example.org?transport=tcp", "turns:example.org?transport=tcp", .tls, 5349),
      ("turns:example.org:443?transport=udp", "turns:example.org:443?transport=udp", .dtls, 443),
      ("turn:[2001:db8::1]", "turn:[2001:db8::1]", .udp, 3478),
      ("stun:[::1]:3479", "stun:[::1]:3479", .udp, 3479),
      ("example.org", "stun:example.org", .udp, 3478), ("example.org:99", "stun:example.org:99", .udp, 99),
      ("192.0.2.1", "stun:192.0.2.1", .udp, 3478), ("::1", "stun:[::1]", .udp, 3478),
      ("[::1]:99", "stun:[::1]:99", .udp, 99), ("stun:relay", "stun:relay", .udp, 3478),
      ("localhost", "stun:localhost", .udp, 3478), ("turn.", "stun:turn.", .udp, 3478),
    ] as [(String, String, TransportProtocol, UInt16)])
  func valid(text: String, canonical: String, transport: TransportProtocol, port: UInt16) throws {
    let uri = try ServerURI(parsing: text)
    #expect(uri.description == canonical)
    #expect(uri.transport == transport)
    #expect(uri.effectivePort == port)
    #expect(uri.hints == [])
  }

  @Test(
    "Common mistakes are accepted with a hint",
    arguments: [
      (
        "turn://example.org:3478", "turn:example.org:3478",
        "turn: URIs have no \"//\" (RFC 7065): turn:example.org:3478"
      ),
      ("turns://example.org/", "turns:example.org", "turns: URIs have no \"//\" (RFC 7065): turns:example.org"),
      (
        "turn:example.org?transport=tls", "turns:example.org?transport=tcp",
        "transport=tls is not in RFC 7065; TLS is written turns:example.org?transport=tcp"
      ),
      (
        "stun:example.org?transport=tcp", "stun:example.org?transport=tcp",
        "stun: URIs have no ?transport= (RFC 7064); it is used nevertheless"
      ),
    ])
  func hints(text: String, canonical: String, hint: String) throws {
    let uri = try ServerURI(parsing: text)
    #expect(uri.description == canonical)
    #expect(uri.hints == [hint])
  }

  @Test(
    "The error for an invalid URI names the fault",
    arguments: [
      ("", "there is no host"), ("turn:", "there is no host"), ("turn:?transport=udp", "there is no host"),
      ("turn:host:0", "\"0\" is no port (1 to 65535)"), ("turn:host:65536", "\"65536\" is no port (1 to 65535)"),
      ("turn:host:", "\"\" is no port (1 to 65535)"), ("turn:host:+1", "\"+1\" is no port (1 to 65535)"),
      ("turn:2001:db8::1", "an IPv6 address needs brackets: [2001:db8::1]"),
      ("turn:[2001:db8::1", "\"[\" without \"]\""), ("turn:[192.0.2.1]", "\"192.0.2.1\" is no IPv6 address"),
      ("turn:[::1]x", "\"x\" after the address is no port"),
      ("turn:user@host", "a URI has no user name: use --username"),
      ("turn:256.1.1.1", "\"256.1.1.1\" is neither a host name nor an address"),
      ("turn:ho st", "\"ho st\" is neither a host name nor an address"),
      ("turn:a..b", "\"a..b\" is neither a host name nor an address"),
      ("turn:host?transport=sctp", "\"sctp\" is no transport: udp or tcp"),
      ("turn:host?foo=bar", "\"foo=bar\": the only parameter is transport=udp or transport=tcp"),
      ("https://host", "\"https:\" is no STUN or TURN URI; try stun:HOST or turn:HOST"),
    ])
  func invalid(text: String, message: String) {
    let error = #expect(throws: ServerURI.ParsingError.self) { try ServerURI(parsing: text) }
    #expect(error?.description == message)
  }

  @Test("Mutated URIs are read or refused")
  func mutated() {
    let seed: UInt64 = 0xC11E_0003
    var random = SplitMix(state: seed)
    let corpus = [
      "turns://[2001:db8::1]:5349?transport=tls", "turn:example.org:3478?transport=udp&x=y", "stun:192.0.2.1",
    ]
    var good = 0
    for round in 0..<100_000 {
      let bytes = random.mutate(Array(corpus[round % corpus.count].utf8))
      guard let uri = try? ServerURI(parsing: String(decoding: bytes, as: UTF8.self)) else { continue }
      good += 1
      // The description of a parsed URI parses to the same URI.
      let again = try? ServerURI(parsing: uri.description)
      #expect(again?.description == uri.description, "seed \(seed)")
    }
    #expect(good > 1000, "seed \(seed)")
  }

  @Test(
    "A password before the host is refused, and the error does not repeat it",
    arguments: [
      ("turn:user:pw@host", "turn:***@host"), ("TURNS://u:p@ss?w@h:1", "turns:***@h:1"), ("user:pw@host", "***@host"),
      ("turn:host:3478", "turn:host:3478"), ("https://u:p@host/x", "https:***@host/x"), ("turn:u:p?w@h", "turn:***@h"),
    ])
  func password(text: String, masked: String) {
    #expect(ServerURI.masked(text) == masked)
    guard text.contains("@") else { return }
    let error = #expect(throws: ServerURI.ParsingError.self) { try ServerURI(parsing: text) }
    #expect(error?.description == "a URI has no user name: use --username")
  }
}
