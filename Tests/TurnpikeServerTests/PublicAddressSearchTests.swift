internal import Configuration
internal import NetworkTypes
internal import Synchronization
internal import Testing

@testable internal import TurnpikeServer

@Suite("The search for the public address")
struct PublicAddressSearchTests {
  private typealias NoAnswer = PublicAddressSearch.NoAnswer
  private static let local = IPAddress(10, 0, 0, 5)
  private static let sixth = IPAddress("fd00::5")!
  private static let open = IPAddress(9, 8, 7, 6)
  private static let server = IPAddress(9, 9, 9, 9)

  /// Fake sources with given answers, which record each question.
  private final class World: Sendable {
    let asked = Mutex<[String]>([])
    let names: [String: [IPAddress]]
    let cloud: IPAddress?
    let seen: [IPAddress: IPAddress]
    let keepsPort: Bool
    /// The default route's address.
    let main = Mutex<IPAddress?>(PublicAddressSearchTests.local)

    init(
      names: [String: [IPAddress]] = [:], cloud: IPAddress? = nil, seen: [IPAddress: IPAddress] = [:],
      keepsPort: Bool = true
    ) {
      self.names = names
      self.cloud = cloud
      self.seen = seen
      self.keepsPort = keepsPort
    }

    var outside: PublicAddressSearch.Outside {
      PublicAddressSearch.Outside(
        mainAddress: { self.main.withLock { $0 } },
        resolve: { name, family throws(NoAnswer) in
          self.asked.withLock { $0.append("\(name) \(family)") }
          guard let addresses = self.names[name] else { throw NoAnswer("the name servers do not answer") }
          return addresses
        },
        askCloud: { _ throws(NoAnswer) in
          self.asked.withLock { $0.append("cloud") }
          guard let address = self.cloud else { throw NoAnswer("nothing answers") }
          return (address, "aws")
        },
        askSTUN: { server, local, _ throws(NoAnswer) in
          self.asked.withLock { $0.append("\(server) from \(local)") }
          guard let address = self.seen[server.address] else { throw NoAnswer("no answer") }
          return (address, self.keepsPort)
        })
    }

    func search(
      _ advertise: Advertise = .automatic, _ sources: [AddressSource] = [.interface, .cloud],
      locals: [IPAddress] = [PublicAddressSearchTests.local]
    ) -> [PublicAddressSearch.Finding] {
      var search = PublicAddressSearch(
        .init(locals: locals, advertise: advertise, sources: sources), outside)
      return search.run()
    }
  }

  @Test("A public address of the interface needs no other source")
  func interface() {
    let world = World(cloud: Self.open)
    #expect(world.search(locals: [Self.server]).map(\.found) == [Self.server])
    #expect(world.asked.withLock { $0 }.isEmpty)
  }

  @Test("Sources are asked in order until one answers, and each failure has its reason")
  func order() {
    let stun = AddressSource.stun(host: "stun.example.org", port: 3478)
    let world = World(names: ["stun.example.org": [Self.server]], seen: [Self.server: Self.open])
    let finding = world.search(.automatic, [.interface, .cloud, stun])[0]
    #expect(finding.found == Self.open && finding.source == "stun:stun.example.org" && finding.reasons.isEmpty)
    #expect(world.asked.withLock { $0 } == ["cloud", "stun.example.org ipv4", "9.9.9.9:3478 from 10.0.0.5"])
    let nothing = World().search(.automatic, [.interface, .cloud, stun])[0]
    #expect(nothing.found == nil && nothing.source.isEmpty)
    #expect(
      nothing.reasons == [
        "interface: 10.0.0.5 is private", "cloud: nothing answers",
        "stun:stun.example.org: the name servers do not answer",
      ])
  }

  @Test("Each family is found independently; the cloud is asked once, for IPv4")
  func families() {
    let world = World(cloud: Self.open)
    let found = world.search(locals: [Self.local, Self.sixth])
    #expect(found.map(\.found) == [Self.open, nil] && found[0].source == "cloud (aws)")
    #expect(found[1].reasons == ["interface: fd00::5 is private", "cloud: an IPv6 address is on the interface"])
    #expect(world.asked.withLock { $0 } == ["cloud"])
    // The metadata is about the address of the default route.
    let other = IPAddress(10, 0, 0, 6)
    #expect(world.search(locals: [Self.local, other]).map(\.found) == [Self.open, nil])
  }

  @Test("Each search reads the default route, which may appear late and change")
  func route() {
    let world = World(cloud: Self.open)
    let other = IPAddress(10, 0, 0, 6)
    let question = PublicAddressSearch.Question(
      locals: [Self.local, other], advertise: .automatic, sources: [.interface, .cloud])
    func search(_ main: IPAddress?) -> [IPAddress?] {
      world.main.withLock { $0 = main }
      var search = PublicAddressSearch(question, world.outside)
      return search.run().map(\.found)
    }
    #expect(search(nil) == [nil, nil])
    #expect(search(Self.local) == [Self.open, nil])
    #expect(search(other) == [nil, Self.open])
  }

  @Test("The finding has a note about a NAT that changes ports")
  func note() {
    let world = World(seen: [Self.server: Self.open], keepsPort: false)
    let finding = world.search(.automatic, [.stun(host: "9.9.9.9", port: 3478)])[0]
    #expect(finding.found == Self.open && finding.note.contains("forward relay.ports"))
  }

  @Test(
    "An address that no host can have is refused",
    arguments: ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "169.254.1.1", "0.1.2.3", "::1", "9::1"])
  func lies(text: String) throws {
    let lie = try #require(IPAddress(text))
    let world = World(names: ["turn.example.org": [lie]], seen: [Self.server: lie])
    let finding = world.search(.automatic, [.stun(host: "9.9.9.9", port: 3478)])[0]
    #expect(finding.found == nil && finding.reasons[0].hasPrefix("stun:9.9.9.9: the answer \(lie) is "))
    #expect(world.search(.everywhere(.name("turn.example.org")))[0].found == nil)
  }

  @Test("Another address of the name is asked after a failure, three in all")
  func servers() {
    let silent = (1...5).map { IPAddress(9, 0, 0, $0) }
    let world = World(names: ["s": silent + [Self.server]], seen: [Self.server: Self.open])
    let source = AddressSource.stun(host: "s", port: 3478)
    #expect(world.search(.automatic, [source])[0].found == nil && world.asked.withLock { $0.count } == 4)
    let next = World(names: ["s": [silent[0], Self.server]], seen: [Self.server: Self.open])
    #expect(next.search(.automatic, [source])[0].found == Self.open)
  }

  @Test("Names are looked up by family; a name for all relays may have no IPv6 address")
  func names() {
    let name = PublicAddress.name("turn.example.org")
    let world = World(names: ["turn.example.org": [Self.open]])
    let found = world.search(.everywhere(name), locals: [Self.local, Self.sixth])
    #expect(found.map(\.found) == [Self.open, Self.sixth] && found[0].source == "name turn.example.org")
    #expect(
      world.search(.mapping([Self.local: name]), locals: [Self.local, Self.sixth]).map(\.found) == [
        Self.open, Self.sixth,
      ])
    #expect(World().search(.everywhere(name))[0].reasons == ["turn.example.org: the name servers do not answer"])
    #expect(
      World(names: ["turn.example.org": []]).search(.everywhere(name))[0].reasons == [
        "turn.example.org: it has no IPv4 address"
      ])
  }

  @Test("Configured addresses need no search")
  func configured() {
    let world = World()
    #expect(world.search(.everywhere(.address(Self.open)))[0].found == Self.open)
    #expect(world.search(.mapping([:]))[0].found == Self.local && world.asked.withLock { $0 }.isEmpty)
  }
}

@Suite("Answers of metadata services")
struct MetadataAnswerTests {
  private func read(_ text: String) -> String {
    do throws(MetadataAnswer.Problem) {
      return try MetadataAnswer.address(in: Array(text.utf8)).map { "\($0)" } ?? "none"
    } catch {
      return error.text
    }
  }

  @Test(
    "One public address is accepted, everything else is refused",
    arguments: [
      ("9.8.7.6", "9.8.7.6"), ("9.8.7.6\n", "9.8.7.6"), ("9.8.7.6\r\n", "9.8.7.6"), ("", "none"), ("\n", "none"),
      ("10.0.0.5", "the answer 10.0.0.5 is no public address"),
      ("127.0.0.1", "the answer 127.0.0.1 is no public address"),
      ("169.254.169.254", "the answer 169.254.169.254 is no public address"),
      ("0.0.0.0", "the answer 0.0.0.0 is no public address"), ("9.8.7.6\n\n", "the answer is no IPv4 address"),
      (" 9.8.7.6", "the answer is no IPv4 address"), ("9.8.7.6, 9.8.7.7", "the answer is no IPv4 address"),
      ("9.8.7", "the answer is no IPv4 address"), ("9.8.7.256", "the answer is no IPv4 address"),
      ("009.8.7.6", "the answer is no IPv4 address"), ("2001:db8::1", "the answer is no IPv4 address"),
      ("<html>9.8.7.6</html>", "the answer is no IPv4 address"), ("9.8.7.6\0", "the answer is no IPv4 address"),
      ("\u{661}.8.7.6", "the answer is no IPv4 address"),
      (String(repeating: "9", count: 65), "the answer is too long for an address"),
    ])
  func addresses(text: String, result: String) { #expect(read(text) == result) }

  @Test("Every change of one byte of a good answer is an address or refused")
  func mutations() {
    let good = Array("93.184.216.34\n".utf8)
    for index in good.indices {
      for byte in UInt8.min...UInt8.max {
        var bytes = good
        bytes[index] = byte
        guard let address = try? MetadataAnswer.address(in: bytes) else { continue }
        // The address is exactly the text.
        let text = String(decoding: bytes.prefix { $0 != 10 && $0 != 13 }, as: UTF8.self)
        #expect("\(address)" == text)
      }
    }
  }

  @Test("A token is printable, because it becomes part of a request")
  func tokens() {
    #expect(MetadataAnswer.token(in: Array("AQAEA-_==".utf8)) == "AQAEA-_==")
    for text in ["", "a b", "a\r\nX: y", "a\n", "\u{e4}", String(repeating: "a", count: 1025)] {
      #expect(MetadataAnswer.token(in: Array(text.utf8)) == nil, "\(text.debugDescription)")
    }
  }
}
