public import NetworkTypes
internal import STUN

/// Runs the tests of RFC 5780 one after another: `step` has the next request, and `answer` takes its result.
public struct NATDiscovery: Sendable {
  /// Each socket has its own port: a binding from one test must not change the result of another (section 4.1).
  public enum Socket: Hashable, Sendable, CaseIterable {
    case mapping, filtering, hairpin
  }

  /// A Binding request of one test.
  public struct Request: Hashable, Sendable {
    public var name: String
    public var socket: Socket
    public var destination: SocketAddress
    public var detour: BindingProbe.Detour
    /// Whether silence is a result too, so that the wait can be shorter than for the first request.
    public var maySilence: Bool
  }

  public enum Step: Hashable, Sendable {
    case request(Request)
    /// The `hairpin` and the `mapping` socket send to each other's mapped address.
    case hairpin(mapping: SocketAddress, hairpin: SocketAddress)
    case done
  }

  public enum Answer: Hashable, Sendable {
    case response(BindingProbe.Response, from: SocketAddress)
    case failure(RequestFailure)
  }

  /// A test with its result, for the trace.
  public struct Trial: Hashable, Sendable {
    public var request: Request
    public var answer: Answer
  }

  /// The requested tests.
  public struct Questions: Hashable, Sendable {
    public var mapping = true
    public var filtering = true
    public var hairpinning = true

    public init() {}
  }

  /// Nil until the first test has an answer.
  public private(set) var behaviour: NATBehaviour?
  /// The reason why there is no result: the first test failed.
  public private(set) var failure: RequestFailure?
  public private(set) var trials: [Trial] = []

  private enum Phase: Int {
    case mapping1, mapping2, mapping3, filtering1, filtering2, filtering3, hairpin1, hairpin2, done
  }

  private let server: SocketAddress
  private let localAddress: SocketAddress
  private let questions: Questions
  private var phase = Phase.mapping1
  private var other: Result<SocketAddress, NATBehaviour.Unknown> = .failure(.init("not asked yet"))
  /// Whether the other address did not answer a direct request.
  private var isOtherSilent = false
  private var secondMapping: SocketAddress?
  private var hairpinMapping: SocketAddress?

  /// - Parameter localAddress: the local address of the `mapping` socket, specific to the route to the server.
  public init(server: SocketAddress, localAddress: SocketAddress, questions: Questions = Questions()) {
    self.server = server
    self.localAddress = localAddress
    self.questions = questions
  }

  // MARK: - Requests

  /// The next step; it stays the same until its result is known.
  public var step: Step {
    let alternate = try? other.get()
    switch phase {
    case .mapping1: return request("mapping I", .mapping, server, isFirst: true)
    case .mapping2:
      return request("mapping II", .mapping, SocketAddress(alternate?.address ?? server.address, port: server.port))
    case .mapping3: return request("mapping III", .mapping, alternate ?? server)
    case .filtering1: return request("filtering I", .filtering, server)
    case .filtering2:
      return request("filtering II", .filtering, server, .init(changesAddress: true, changesPort: true))
    case .filtering3: return request("filtering III", .filtering, server, .init(changesPort: true))
    case .hairpin1: return request("hairpinning", .hairpin, server)
    case .hairpin2:
      guard let mapped = behaviour?.mappedAddress, let hairpinMapping else { return .done }
      return .hairpin(mapping: mapped, hairpin: hairpinMapping)
    case .done: return .done
    }
  }

  private func request(
    _ name: String, _ socket: Socket, _ destination: SocketAddress, _ detour: BindingProbe.Detour = .init(),
    isFirst: Bool = false
  ) -> Step {
    .request(
      Request(name: name, socket: socket, destination: destination, detour: detour, maySilence: !isFirst))
  }

  // MARK: - Answers

  /// Takes the answer to the request of the current step.
  public mutating func answer(_ answer: Answer) {
    guard case .request(let request) = step else { return }
    trials.append(Trial(request: request, answer: answer))
    switch (phase, answer) {
    case (.mapping1, .failure(let failure)): fail(failure)
    case (.mapping1, .response(let response, let source)):
      // A client with a connected socket, as most clients have, would never receive this answer.
      guard source.address == server.address, source.port == server.port else { return fail(.answeredFrom(source)) }
      begin(response)
    case (.mapping2, _): takeMapping2(answer, request)
    case (.mapping3, _): takeMapping3(answer, request)
    case (.filtering1, _): takeFiltering1(answer)
    case (.filtering2, _): takeFiltering2(answer)
    case (.filtering3, _): takeFiltering3(answer)
    case (.hairpin1, .response(let response, _)):
      guard let mapped = behaviour?.mappedAddress, isReachable(mapped), isReachable(response.mappedAddress) else {
        behaviour?.hairpinning = .failure(.init("nothing can be sent to the mapped address"))
        phase = .done
        break
      }
      hairpinMapping = response.mappedAddress
      phase = .hairpin2
    case (.hairpin1, .failure):
      behaviour?.hairpinning = .failure(.init("the server did not answer a third socket"))
      phase = .done
    case (.hairpin2, _), (.done, _): break
    }
  }

  /// Whether our sockets can send to the address.
  private func isReachable(_ address: SocketAddress) -> Bool {
    address.family == server.family && address.port > 0 && address.address != .ipv4Any && address.address != .ipv6Any
  }

  /// Takes the source of the `hairpin` socket's packet as the `mapping` socket received it; nil if none arrived.
  public mutating func answerHairpin(from source: SocketAddress?) {
    guard phase == .hairpin2 else { return }
    phase = .done
    guard let source else {
      behaviour?.hairpinning = .success(.none)
      return
    }
    // An endpoint-dependent NAT uses another port than the server saw, so only the address is compared.
    behaviour?.hairpinning = .success(
      source.address == hairpinMapping?.address ? .mappedSource : .internalSource)
  }

  private mutating func fail(_ failure: RequestFailure) {
    self.failure = failure
    phase = .done
  }

  private mutating func begin(_ response: BindingProbe.Response) {
    let mapped = response.mappedAddress
    let rewriting: Result<Bool, NATBehaviour.Unknown> =
      response.isXORMapped && response.plainMappedAddress != nil
      ? .success(response.plainMappedAddress != mapped)
      : .failure(.init("the server does not send MAPPED-ADDRESS beside XOR-MAPPED-ADDRESS"))
    behaviour = NATBehaviour(localAddress: localAddress, mappedAddress: mapped, rewritesAddresses: rewriting)
    other = Self.other(response, server)
    guard questions.mapping else { return beginFiltering() }
    switch other {
    // Without a NAT the test still finds out whether the other address can be reached.
    case .success: phase = .mapping2
    case .failure(let unknown):
      let isDirect = behaviour?.hasNAT == false
      behaviour?.mapping = isDirect ? .success(.direct) : .failure(unknown)
      beginFiltering()
    }
  }

  private static func other(
    _ response: BindingProbe.Response, _ server: SocketAddress
  ) -> Result<SocketAddress, NATBehaviour.Unknown> {
    guard let other = response.otherAddress else {
      return .failure(.init("the server has no other address (no OTHER-ADDRESS: it does not support RFC 5780)"))
    }
    guard other.family == server.family, other.address != server.address, other.port != server.port else {
      return .failure(.init("the server's other address, \(other), differs too little from \(server)"))
    }
    // Servers behind a NAT often give an address that only they can reach.
    let scope = AddressScope.judge(other.address)
    guard scope.scope >= AddressScope(server.address), other.port > 0 else {
      let what = other.port > 0 ? scope.words : "has port 0"
      return .failure(
        .init("the server's other address, \(other), \(what): no client outside its network can reach it"))
    }
    return .success(other)
  }

  // MARK: - Mapping (section 4.3)

  private mutating func takeMapping2(_ answer: Answer, _ request: Request) {
    let isDirect = behaviour?.hasNAT == false
    guard case .response(let response, _) = answer else {
      isOtherSilent = true
      behaviour?.mapping =
        isDirect
        ? .success(.direct) : .failure(.init("no answer from the server's other address, \(request.destination)"))
      return beginFiltering()
    }
    if isDirect {
      behaviour?.mapping = .success(.direct)
      return beginFiltering()
    }
    if response.mappedAddress == behaviour?.mappedAddress {
      behaviour?.mapping = .success(.endpointIndependent)
      return beginFiltering()
    }
    secondMapping = response.mappedAddress
    phase = .mapping3
  }

  private mutating func takeMapping3(_ answer: Answer, _ request: Request) {
    if case .response(let response, _) = answer {
      behaviour?.mapping = .success(
        response.mappedAddress == secondMapping ? .addressDependent : .addressAndPortDependent)
    } else {
      behaviour?.mapping = .failure(
        .init("not endpoint-independent; the exact kind is unknown: no answer from \(request.destination)"))
    }
    beginFiltering()
  }

  // MARK: - Filtering (section 4.4)

  private mutating func beginFiltering() {
    guard questions.filtering else { return beginHairpinning() }
    guard case .success = other else {
      if case .failure(let unknown) = other { behaviour?.filtering = .failure(unknown) }
      return beginHairpinning()
    }
    phase = .filtering1
  }

  private mutating func takeFiltering1(_ answer: Answer) {
    guard case .response(let response, _) = answer, let first = behaviour?.mappedAddress else {
      behaviour?.filtering = .failure(.init("the server did not answer a second socket"))
      return beginHairpinning()
    }
    behaviour?.pooling = .success(response.mappedAddress.address == first.address ? .paired : .arbitrary)
    // If the other address does not answer a direct request either, its silence does not prove a filter.
    phase = isOtherSilent ? .filtering3 : .filtering2
  }

  private mutating func takeFiltering2(_ answer: Answer) {
    switch answer {
    case .response(_, let source) where source.address == server.address:
      behaviour?.filtering = .failure(.init("the server does not answer from its other address when asked to"))
    case .response:
      behaviour?.filtering = .success(.endpointIndependent)
    case .failure(.timeout):
      phase = .filtering3
      return
    case .failure(let failure):
      behaviour?.filtering = .failure(Self.refusal(failure))
    }
    beginHairpinning()
  }

  private mutating func takeFiltering3(_ answer: Answer) {
    switch answer {
    case .response(_, let source) where source.port == server.port:
      behaviour?.filtering = .failure(.init("the server does not answer from its other port when asked to"))
    case .response where isOtherSilent:
      behaviour?.filtering = .failure(
        .init("not address-and-port-dependent; the exact kind is unknown: no answer from the server's other address"))
    case .response: behaviour?.filtering = .success(.addressDependent)
    case .failure(.timeout): behaviour?.filtering = .success(.addressAndPortDependent)
    case .failure(let failure): behaviour?.filtering = .failure(Self.refusal(failure))
    }
    beginHairpinning()
  }

  private static func refusal(_ failure: RequestFailure) -> NATBehaviour.Unknown {
    if case .refused(let code, let phrase, _, _) = failure {
      return .init("the server refuses CHANGE-REQUEST: \(code.rawValue) \(phrase)")
    }
    return .init("the server's answer to CHANGE-REQUEST can't be used")
  }

  // MARK: - Hairpinning (RFC 4787 section 6)

  private mutating func beginHairpinning() {
    phase = .done
    guard questions.hairpinning else { return }
    guard behaviour?.hasNAT == true else {
      behaviour?.hairpinning = .failure(.init("there is no NAT, so no packet comes back through one"))
      return
    }
    phase = .hairpin1
  }
}
