import ClientIO
import Crypto
import JSON
import NetworkTypes
import System
import TLS
import Testing
import TURNClient

extension AdminChangeTests {
  @Test("A banned address gets no answer over any transport until the ban is removed; close ends its live allocations")
  func bans() throws {
    let (server, admin) = try start(8)
    let other = IPAddress(127, 0, 0, 2)
    let banned = try TransportProtocol.allCases.map { transport in
      try Live(server.session(transport: transport, from: transport == .udp ? other : nil))
    }
    let local = try Live(server.session("bob", "hunter2"))
    // Only the UDP client has this address.
    let one = try ask(admin, "POST", "/api/v1/bans", #"{"address":"127.0.0.2","close":true}"#, status: 201)
    #expect(one["closed"] == 1 && one["address"]?.string == "127.0.0.2/32")
    #expect(isSilent(server, from: other) && !isSilent(server, from: nil))
    try local.session.refresh()
    _ = try ask(admin, "DELETE", "/api/v1/bans?address=127.0.0.2", status: 204)
    #expect(!isSilent(server, from: other))
    // Without close live allocations go on, and new clients get no answer.
    let two = try ask(admin, "POST", "/api/v1/bans", #"{"address":"127.0.0.0/31","reason":"test"}"#, status: 201)
    #expect(two["closed"] == 0)
    for index in banned.indices.dropFirst() { try banned[index].session.refresh() }
    for transport in TransportProtocol.allCases { #expect(isSilent(server, from: nil, transport)) }
    #expect(try admin.metrics()[#"turnpike_drops_total{cause="banned"}"#] ?? 0 > 0)
    let all = try ask(admin, "POST", "/api/v1/bans", #"{"address":"127.0.0.1","ttl":3600,"close":true}"#, status: 201)
    #expect(all["closed"] == 4)
    let list = try admin.document("/api/v1/bans")["bans"]?.array ?? []
    #expect(list.map { $0["address"]?.string } == ["127.0.0.0/31", "127.0.0.1/32"])
    #expect(list[0]["reason"]?.string == "test" && list[0]["expires-in"] == nil)
    #expect((3500...3600).contains(list[1]["expires-in"]?.integer ?? 0))
    #expect(try admin.document("/api/v1/sessions")["sessions"]?.array?.isEmpty == true)
    for ban in ["127.0.0.1", "127.0.0.0/31"] {
      _ = try ask(admin, "DELETE", "/api/v1/bans?address=\(ban)", status: 204)
    }
    #expect(!isSilent(server, from: nil) && server.logged("change=ban-added"))
  }

  /// Whether a new client gets no answer.
  private func isSilent(
    _ server: RunningServer, from local: IPAddress?, _ transport: TransportProtocol = .udp
  ) -> Bool {
    var settings = ClientAllocation.Settings()
    settings.credential = LongTermCredential(username: "alice", password: "secret")
    settings.retransmission.initialTimeout = .milliseconds(100)
    settings.retransmission.requestCount = 2
    settings.retransmission.lastWait = 2
    settings.retransmission.streamTimeout = .milliseconds(500)
    do {
      let connection = try ClientConnection(
        ClientConnection.Settings(
          transport: transport,
          remote: SocketAddress(.ipv4Loopback, port: transport.isSecure ? server.tlsPort : server.port),
          local: local.map { SocketAddress($0, port: 0) }, serverName: "localhost",
          tls: transport.isSecure ? try TLSContext(client: .none, isDatagram: transport == .dtls) : nil),
        until: Instant.read().advanced(by: .milliseconds(700)))
      settings.isStream = transport.isStream
      var session = AllocationSession(
        connection, settings: settings, generator: SeededGenerator(seed: SecureRandom.bytes(32)))
      try session.allocate()
      _ = try session.delete()
      return false
    } catch {
      return true
    }
  }

  @Test(
    "A ban of an invalid block, or of all addresses, is refused",
    arguments: ["x", "192.0.2.1/24", "0.0.0.0/0", "::/0", "192.0.2.0/33", ""])
  func refusedBans(address: String) throws {
    let (_, admin) = try start(9)
    _ = try ask(admin, "POST", "/api/v1/bans", #"{"address":"\#(address)"}"#, status: 400)
    let status = address.isEmpty || CIDRBlock(address) == nil ? 400 : 404
    _ = try ask(admin, "DELETE", "/api/v1/bans?address=\(address)", status: status)
  }

  @Test("A ban with a wrong member is refused")
  func wrongMembers() throws {
    let (_, admin) = try start(9)
    let longest = 366 * 86_400
    for member in [
      #""ttl":0"#, #""ttl":-1"#, #""ttl":1.5"#, #""ttl":"60""#, #""ttl":\#(longest + 1)"#, #""reason":7"#,
      #""reason":"\#(String(repeating: "r", count: 201))""#, #""reason":"a\n""#, #""close":1"#, #""close":"true""#,
      #""until":60"#, #""Reason":"test""#,
    ] {
      let answer = try ask(admin, "POST", "/api/v1/bans", #"{"address":"192.0.2.1",\#(member)}"#, status: 400)
      let name = member.split(separator: "\"")[0]
      #expect(answer["error"]?.string?.contains(name) == true, "\(member)")
    }
    _ = try ask(admin, "POST", "/api/v1/bans", #"{"reason":"test"}"#, status: 400)
    #expect(try admin.document("/api/v1/bans")["bans"]?.array?.isEmpty == true)
    _ = try ask(
      admin, "POST", "/api/v1/bans", #"{"address":"192.0.2.1","ttl":\#(longest),"close":false}"#, status: 201)
  }

  @Test("The 1,025th ban is refused; a ban ends with its time; an IPv6 form of IPv4 is the IPv4 address")
  func limitOfBans() throws {
    let (_, admin) = try start(10)
    _ = try ask(admin, "POST", "/api/v1/bans", #"{"address":"::ffff:192.0.2.1","ttl":1}"#, status: 201)
    #expect(try admin.document("/api/v1/bans")["bans"]?[0]?["address"]?.string == "192.0.2.1/32")
    #expect(try AdminServerTests().soon { try admin.document("/api/v1/bans")["bans"]?.array?.isEmpty == true })
    for number in 0..<1024 {
      let address = "10.0.\(number / 256).\(number % 256)"
      _ = try ask(admin, "POST", "/api/v1/bans", #"{"address":"\#(address)"}"#, status: 201)
    }
    let refusal = try ask(admin, "POST", "/api/v1/bans", #"{"address":"10.1.0.0"}"#, status: 409)
    #expect(refusal["error"]?.string?.contains("1024") == true)
    // A second ban of the same block does not count.
    _ = try ask(admin, "POST", "/api/v1/bans", #"{"address":"10.0.0.0","reason":"again"}"#, status: 201)
    #expect(try admin.document("/api/v1/bans")["bans"]?.array?.count == 1024)
  }
}
