import NetworkTypes
import Testing
import TestSupport
import System
import TLS

@Suite("TLS handshakes between two engines")
struct HandshakeTests {
  @Test(
    "A client that trusts the certificate connects by every name in it",
    arguments: [
      ("turn.example.org", TLSVersion.tls12), ("127.0.0.1", .tls13), ("::1", .tls13), ("a.example.net", .tls12),
    ])
  func names(name: String, version: TLSVersion) throws {
    let identity = try Identity()
    var server = try TLSEngine(server: TLSContext(server: identity.files, minimumVersion: version))
    var client = try TLSEngine(client: TLSContext(client: identity.authorities), serverName: name)
    exchange(&client, &server)
    #expect(client.isEstablished && server.isEstablished)
    let summary = client.summary
    #expect(summary.version == "TLSv1.3")
    #expect(summary.complaint == nil)
    #expect(summary.certificate?.subject == "CN=turnpike")
    #expect(summary.certificate?.issuer == "CN=turnpike")
    #expect(summary.certificate?.dnsNames == ["turn.example.org", "*.example.net"])
    #expect(summary.certificate?.addresses == [.ipv4Loopback, .ipv6Loopback])
    let left = summary.certificate?.daysLeft(now: realNow())
    #expect(left == 3651 || left == 3652)
    #expect(server.requestedServerName == (IPAddress(name) == nil ? name : nil))
  }

  @Test("Data passes in both directions, and close_notify ends it")
  func data() throws {
    let identity = try Identity()
    var server = try TLSEngine(server: TLSContext(server: identity.files))
    var client = try TLSEngine(client: TLSContext(client: identity.authorities), serverName: "127.0.0.1")
    #expect(write(&client, [1]) == .wouldBlock)
    exchange(&client, &server)
    #expect(write(&client, Array("ping".utf8)) == .written)
    #expect(write(&server, Array("pong".utf8)) == .written)
    let seen = exchange(&client, &server)
    #expect(seen.server == Array("ping".utf8))
    #expect(seen.client == Array("pong".utf8))
    client.shutdown()
    server.receive(drain(&client).span.rawBytes)
    #expect(readAll(&server).end == .closed)
    #expect(write(&client, [1]) == .failed(TLSError(.record, "the connection is already closed")))
  }

  @Test("A large transfer arrives unchanged, however the transport splits it")
  func largeTransfer() throws {
    let identity = try Identity()
    var random = SplitMix(state: 7)
    var server = try TLSEngine(server: TLSContext(server: identity.files))
    var client = try TLSEngine(client: TLSContext(client: identity.authorities), serverName: "127.0.0.1")
    exchange(&client, &server)
    let sent = (0..<700_000).map { _ in UInt8.random(in: 0...255, using: &random) }
    var received: [UInt8] = []
    var offset = 0
    while offset < sent.count {
      let size = min(Int.random(in: 1...3000, using: &random), sent.count - offset)
      if write(&client, Array(sent[offset..<(offset + size)])) == .written { offset += size }
      // The transport accepts only a part.
      let part = client.output.extracting(first: Int.random(in: 0...4000, using: &random)).copied()
      client.consumeOutput(part.count)
      server.receive(part.span.rawBytes)
      received += readAll(&server).bytes
    }
    received += exchange(&client, &server).server
    #expect(received == sent)
  }

  @Test("Writing stops at the output limit and continues when the output has been sent")
  func outputLimit() throws {
    let identity = try Identity()
    var server = try TLSEngine(server: TLSContext(server: identity.files))
    var client = try TLSEngine(client: TLSContext(client: identity.authorities), serverName: "127.0.0.1")
    exchange(&client, &server)
    let block = [UInt8](repeating: 9, count: 16_000)
    var written = 0
    while write(&server, block) == .written { written += 1 }
    #expect(written == TLSEngine.outputLimit / 16_022 + 1)
    #expect(write(&server, block) == .wouldBlock)
    let seen = exchange(&client, &server)
    #expect(seen.client.count == written * 16_000)
    #expect(write(&server, block) == .written)
    #expect(
      write(&server, [UInt8](repeating: 0, count: TLSEngine.writeLimit + 1))
        == .failed(TLSError(.limit, "one write too large")))
  }

  @Test("Input beyond the limit is refused")
  func inputLimit() throws {
    let identity = try Identity()
    var server = try TLSEngine(server: TLSContext(server: identity.files))
    let chunk = [UInt8](repeating: 22, count: 100_000)
    #expect(receive(&server, chunk))
    #expect(receive(&server, chunk))
    #expect(!receive(&server, chunk))
    #expect(readAll(&server).end == .failed(TLSError(.limit, "more bytes were received than read")))
  }

  @Test(
    "ALPN selects our protocols and never fails",
    arguments: [
      (["stun.turn"], "stun.turn"), (["h2", "webrtc", "stun.nat-discovery"], "stun.nat-discovery"),
      (["stun.nat-discovery", "stun.turn"], "stun.turn"), (["h2"], nil), (["webrtc", "c-webrtc"], nil), ([], nil),
    ] as [([String], String?)])
  func alpn(offered: [String], chosen: String?) throws {
    let identity = try Identity()
    var server = try TLSEngine(server: TLSContext(server: identity.files))
    var client = try TLSEngine(
      client: TLSContext(client: identity.authorities), serverName: "127.0.0.1", applicationProtocols: offered)
    exchange(&client, &server)
    #expect(client.isEstablished && server.isEstablished)
    #expect(client.applicationProtocol == chosen)
    #expect(server.applicationProtocol == chosen)
  }

  @Test("A server with TLS 1.3 alone refuses a client that has only 1.2")
  func minimumVersion() throws {
    let identity = try Identity()
    var server = try TLSEngine(server: TLSContext(server: identity.files, minimumVersion: .tls13))
    // A ClientHello of TLS 1.2 without supported_versions, as OpenSSL 1.0 sends it.
    var hello: [UInt8] = [22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3]
    hello += [UInt8](repeating: 5, count: 32) + [0, 0, 2, 0xC0, 0x2B, 1, 0]
    server.receive(hello.span.rawBytes)
    guard case .failed(let error) = readAll(&server).end else {
      Issue.record("the handshake went on")
      return
    }
    #expect(error.cause == .handshake)
    #expect(error.reason == "unsupported protocol")
    #expect(server.outputByteCount > 0, "an alert tells the client")
  }

  @Test("Plain STUN and HTTP on a TLS connection fail with a reason")
  func otherProtocols() throws {
    let identity = try Identity()
    let context = try TLSContext(server: identity.files)
    let cases: [([UInt8], String)] = [
      (Array("GET / HTTP/1.1\r\n\r\n".utf8), "http request"),
      ([0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42] + [UInt8](repeating: 1, count: 12), "wrong version number"),
    ]
    for (bytes, reason) in cases {
      var server = try TLSEngine(server: context)
      server.receive(bytes.span.rawBytes)
      #expect(readAll(&server).end == .failed(TLSError(.handshake, reason)))
    }
  }

  @Test("A session of one context is resumed by another that shares its ticket keys")
  func resumption() throws {
    let identity = try Identity()
    let keys = TLSContext.TicketKeys()
    let first = try TLSContext(server: identity.files, ticketKeys: keys)
    let second = try TLSContext(server: identity.files, ticketKeys: keys)
    let stranger = try TLSContext(server: identity.files)
    let clientContext = try TLSContext(client: identity.authorities)
    var client = try TLSEngine(client: clientContext, serverName: "127.0.0.1")
    var server = try TLSEngine(server: first)
    exchange(&client, &server)
    for (context, isResumed) in [(second, true), (stranger, false)] {
      var again = try TLSEngine(client: clientContext, serverName: "127.0.0.1")
      again.resumeSession(of: client)
      var other = try TLSEngine(server: context)
      exchange(&again, &other)
      #expect(again.isEstablished == true)
      #expect(again.summary.isResumed == isResumed)
    }
  }

  @Test("A server with client authorities refuses a client without a certificate")
  func clientCertificate() throws {
    let identity = try Identity()
    let context = try TLSContext(
      server: identity.files, clientAuthorities: pem(identity.selfSigned.certificate, "client-ca"))
    var server = try TLSEngine(server: context)
    var client = try TLSEngine(client: TLSContext(client: identity.authorities), serverName: "127.0.0.1")
    exchange(&client, &server)
    #expect(server.failure == TLSError(.certificate, "peer did not return a certificate"))
  }
}
