import NetworkTypes
import Testing
import TURNClient

@Suite("NAT behaviour discovery by the client")
struct NATDiscoveryTests {
  static let server = SocketAddress(IPAddress(9, 9, 9, 9), port: 3478)
  static let other = SocketAddress(IPAddress(9, 9, 9, 10), port: 3479)
  static let outside = IPAddress(11, 1, 0, 2)

  /// A NAT and an RFC 5780 server behind it, in memory.
  struct World {
    var mapping = NATBehaviour.Mapping.endpointIndependent
    var filtering = NATBehaviour.Filtering.endpointIndependent
    var hairpinning = NATBehaviour.Hairpinning.none
    var otherAddress: SocketAddress? = other
    var obeysChangeRequests = true
    var answersAtOther = true
    var plainMapped: (SocketAddress) -> SocketAddress? = { $0 }
    private var ports: [String: UInt16] = [:]
    private var contacted: [NATDiscovery.Socket: Set<SocketAddress>] = [:]

    static func inside(_ socket: NATDiscovery.Socket) -> SocketAddress {
      let ports: [NATDiscovery.Socket: UInt16] = [.mapping: 5000, .filtering: 5001, .hairpin: 5002]
      return SocketAddress(IPAddress(10, 1, 0, 2), port: ports[socket] ?? 0)
    }

    mutating func mapped(_ socket: NATDiscovery.Socket, to destination: SocketAddress) -> SocketAddress {
      let key: String
      switch mapping {
      case .direct: return Self.inside(socket)
      case .endpointIndependent: key = "\(socket)"
      case .addressDependent: key = "\(socket) \(destination.address)"
      case .addressAndPortDependent: key = "\(socket) \(destination)"
      }
      let port = ports[key] ?? UInt16(40_000 + ports.count)
      ports[key] = port
      return SocketAddress(outside, port: port)
    }

    mutating func answer(_ request: NATDiscovery.Request) -> NATDiscovery.Answer {
      contacted[request.socket, default: []].insert(request.destination)
      let silence = NATDiscovery.Answer.failure(.timeout(transmissions: 3, discarded: nil))
      if request.destination.address == other.address, !answersAtOther { return silence }
      if request.detour.changesAddress, !answersAtOther { return silence }
      var source = request.destination
      if obeysChangeRequests {
        if request.detour.changesAddress { source.address = other.address }
        if request.detour.changesPort { source.port = other.port }
      }
      let known = contacted[request.socket] ?? []
      let passes =
        switch filtering {
        case .endpointIndependent: true
        case .addressDependent: known.contains { $0.address == source.address }
        case .addressAndPortDependent: known.contains(source)
        }
      guard passes else { return silence }
      let seen = mapped(request.socket, to: request.destination)
      return .response(
        BindingProbe.Response(
          mappedAddress: seen, isXORMapped: true, plainMappedAddress: plainMapped(seen), hasFingerprint: false,
          otherAddress: otherAddress, roundTrip: .milliseconds(1), transmissions: 1), from: source)
    }

    mutating func discover(_ questions: NATDiscovery.Questions = .init()) throws -> NATDiscovery {
      var discovery = NATDiscovery(server: server, localAddress: Self.inside(.mapping), questions: questions)
      for _ in 0..<20 {
        switch discovery.step {
        case .request(let request): discovery.answer(answer(request))
        case .hairpin(_, let hairpin):
          switch hairpinning {
          case .none: discovery.answerHairpin(from: nil)
          case .mappedSource: discovery.answerHairpin(from: hairpin)
          case .internalSource: discovery.answerHairpin(from: Self.inside(.hairpin))
          }
        case .done: return discovery
        }
      }
      throw NeverDone()
    }
  }

  struct NeverDone: Error {}

  @Test("Every combination of mapping, filtering and hairpinning is recognised")
  func behaviours() throws {
    for mapping in NATBehaviour.Mapping.allCases {
      for filtering in NATBehaviour.Filtering.allCases {
        for hairpinning in NATBehaviour.Hairpinning.allCases {
          var world = World()
          world.mapping = mapping
          world.filtering = filtering
          world.hairpinning = hairpinning
          let behaviour = try #require(try world.discover().behaviour)
          #expect(behaviour.mapping == .success(mapping))
          #expect(behaviour.filtering == .success(filtering))
          #expect(behaviour.hasNAT == (mapping != .direct))
          #expect(behaviour.pooling == .success(.paired))
          if mapping == .direct {
            #expect(throws: NATBehaviour.Unknown.self) { try behaviour.hairpinning.get() }
          } else {
            #expect(behaviour.hairpinning == .success(hairpinning))
          }
        }
      }
    }
  }

  @Test("Only the needed tests run, each on its socket")
  func order() throws {
    var world = World()
    #expect(
      try world.discover().trials.map(\.request.name) == [
        "mapping I", "mapping II", "filtering I", "filtering II", "hairpinning",
      ])
    world = World()
    world.mapping = .addressAndPortDependent
    world.filtering = .addressAndPortDependent
    let trials = try world.discover().trials
    #expect(
      trials.map(\.request.name) == [
        "mapping I", "mapping II", "mapping III", "filtering I", "filtering II", "filtering III", "hairpinning",
      ])
    #expect(
      trials.map(\.request.socket) == [
        .mapping, .mapping, .mapping, .filtering, .filtering, .filtering, .hairpin,
      ])
    #expect(
      trials.map(\.request.destination.description) == [
        "9.9.9.9:3478", "9.9.9.10:3478", "9.9.9.10:3479", "9.9.9.9:3478", "9.9.9.9:3478", "9.9.9.9:3478",
        "9.9.9.9:3478",
      ])
    var questions = NATDiscovery.Questions()
    questions.mapping = false
    questions.hairpinning = false
    world = World()
    #expect(
      try world.discover(questions).trials.map(\.request.name) == [
        "mapping I", "filtering I", "filtering II",
      ])
  }

  @Test("A behaviour that cannot be found is unknown, with its reason")
  func unknown() throws {
    func reason<T>(_ result: Result<T, NATBehaviour.Unknown>?) -> String {
      if case .failure(let unknown)? = result { return unknown.reason }
      return ""
    }
    var world = World()
    world.otherAddress = nil
    let behaviour = try world.discover().behaviour
    let without = [reason(behaviour?.mapping), reason(behaviour?.filtering)]
    #expect(without.allSatisfy { $0.contains("no OTHER-ADDRESS") })
    #expect(behaviour?.hairpinning == .success(.none))

    world = World()
    world.otherAddress = SocketAddress(Self.server.address, port: 3479)
    let similar = try world.discover().behaviour
    let differing = reason(similar?.mapping)
    #expect(differing.contains("differs too little"))

    // Servers behind a NAT send an OTHER-ADDRESS that only they can reach.
    world = World()
    world.otherAddress = SocketAddress(IPAddress(10, 0, 0, 10), port: 3479)
    let inside = try world.discover().behaviour
    #expect(
      reason(inside?.mapping)
        == "the server's other address, 10.0.0.10:3479, is private: no client outside its network can reach it")
    #expect(reason(inside?.filtering) == reason(inside?.mapping))

    world = World()
    world.obeysChangeRequests = false
    let stubborn = try world.discover().behaviour
    #expect(reason(stubborn?.filtering) == "the server does not answer from its other address when asked to")

    world = World()
    world.answersAtOther = false
    let silent = try world.discover().behaviour
    #expect(reason(silent?.mapping) == "no answer from the server's other address, 9.9.9.10:3478")

    let unfiltered = reason(silent?.filtering)
    #expect(unfiltered.hasPrefix("not address-and-port-dependent"))
    world.mapping = .direct
    let direct = try world.discover().behaviour
    #expect(direct?.mapping == .success(.direct))
    #expect(throws: NATBehaviour.Unknown.self) { try direct?.filtering.get() }
    world.filtering = .addressAndPortDependent
    #expect(try world.discover().behaviour?.filtering == .success(.addressAndPortDependent))

    var discovery = NATDiscovery(server: Self.server, localAddress: World.inside(.mapping))
    discovery.answer(.failure(.timeout(transmissions: 7, discarded: nil)))
    #expect(discovery.step == .done && discovery.behaviour == nil && discovery.failure != nil)
  }

  @Test("An answer from another address than the requested one is a failure")
  func strayAnswer() {
    for source in [Self.other, SocketAddress(Self.server.address, port: 3479)] {
      var discovery = NATDiscovery(server: Self.server, localAddress: World.inside(.mapping))
      discovery.answer(
        .response(
          BindingProbe.Response(
            mappedAddress: SocketAddress(Self.outside, port: 40_000), isXORMapped: true, hasFingerprint: false,
            roundTrip: .milliseconds(1), transmissions: 1), from: source))
      #expect(discovery.failure == .answeredFrom(source) && discovery.behaviour == nil)
    }
  }

  @Test("The scope of a link-local address does not count as a NAT")
  func linkLocal() {
    let server = SocketAddress(IPAddress(ipv6High: 0xFE80 << 48, low: 2), port: 3478, scope: 2)
    let local = SocketAddress(IPAddress(ipv6High: 0xFE80 << 48, low: 1), port: 5000, scope: 2)
    var discovery = NATDiscovery(server: server, localAddress: local)
    discovery.answer(
      .response(
        BindingProbe.Response(
          mappedAddress: SocketAddress(local.address, port: local.port), isXORMapped: true, hasFingerprint: false,
          roundTrip: .milliseconds(1), transmissions: 1), from: server))
    #expect(discovery.behaviour?.hasNAT == false && discovery.behaviour?.mapping == .success(.direct))
  }

  @Test("A gateway that rewrites MAPPED-ADDRESS is recognised")
  func gateway() throws {
    var world = World()
    #expect(try world.discover().behaviour?.rewritesAddresses == .success(false))
    world.plainMapped = { _ in SocketAddress(IPAddress(10, 1, 0, 2), port: 5000) }
    #expect(try world.discover().behaviour?.rewritesAddresses == .success(true))
    world.plainMapped = { _ in nil }
    let rewriting = try world.discover().behaviour?.rewritesAddresses
    #expect(throws: NATBehaviour.Unknown.self) { try rewriting?.get() }
  }

  @Test("The binding lifetime lies between the longest pause that it survived and the next that it did not")
  func lifetimes() {
    #expect(BindingLifetime.schedule(upTo: .seconds(10)) == [1, 2, 3, 4, 5, 6, 7, 8, 10].map { .seconds($0) })
    let long = BindingLifetime.schedule(upTo: .seconds(600))
    #expect(long.count < 40 && long.last == .seconds(600))
    #expect(
      Self.lifetime((1, true), (2, true), (4, false), (8, false)) == Self.lifetime((2, true), (4, false)))
    let oneLost = Self.lifetime((1, true), (2, false), (4, true), (8, false))
    #expect(oneLost.atLeast == .seconds(4) && oneLost.lessThan == .seconds(8))
    let all = Self.lifetime((1, true))
    #expect(all.atLeast == .seconds(1) && all.lessThan == nil)
    let none = Self.lifetime((1, false))
    #expect(none.atLeast == .zero && none.lessThan == .seconds(1))
  }

  private static func lifetime(_ trials: (seconds: Int, isAlive: Bool)...) -> BindingLifetime {
    BindingLifetime(trials: trials.map { (.seconds($0.seconds), $0.isAlive) })
  }
}
