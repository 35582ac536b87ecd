internal import ClientIO
internal import CommandLine
internal import JSON
internal import NetworkTypes
internal import TURNClient

/// `stunclient nat`, and stuntman's modes.
enum NATCommand {
  static func run(_ job: Job) throws(UsageError) -> Outcome {
    var outcome = try job.onEachFamily { (job, targets, outcome) throws(UsageError) in
      try run(job, targets, &outcome)
    }
    if job.arguments.mode != nil, outcome.lines.isEmpty { outcome.lines = ["Binding test: fail"] }
    return outcome
  }

  private static func run(_ job: Job, _ targets: [ServerTarget], _ outcome: inout Outcome) throws(UsageError) {
    let arguments = job.arguments
    var questions = NATDiscovery.Questions()
    if let mode = arguments.mode {
      questions.mapping = mode == .behavior || mode == .full
      questions.filtering = mode == .filtering || mode == .full
      questions.hairpinning = false
    }
    let report = try job.onEachAddress(targets, &outcome, verdict: \NATReport.verdict) { target, options in
      if target.transport == .tcp {
        // Filtering cannot be tested over TCP, and stuntman's client prints no lines about it then.
        questions.filtering = false
        return NATCheck.runOverTCP(target, options, generator: Job.generator())
      }
      return NATCheck.run(
        target, options, questions: questions, lifetime: arguments.lifetime, generator: Job.generator())
    }
    if let report { describe(report, questions, arguments, &outcome) }
  }

  private static func describe(
    _ report: NATReport, _ questions: NATDiscovery.Questions, _ arguments: ProbeRequest, _ outcome: inout Outcome
  ) {
    outcome.family = report.target.address.family
    outcome.failure = report.failure
    outcome.complaints = report.complaints
    outcome.lines =
      arguments.mode != nil ? stuntman(report, questions) : [heading(report)] + lines(report.behaviour, report)
    outcome.members = members(report)
    if arguments.format == .ndjson {
      let family = ("family", JSONValue.string(report.target.address.family.key))
      for trial in report.trials { Output.write(NDJSON.line("test", [family] + members(trial))) }
    }
    guard let behaviour = report.behaviour else { return }
    if arguments.mode != nil, outcome.failure == nil { outcome.failure = failedTest(behaviour, questions, report) }
    if arguments.mode == nil { outcome.notes += advice(behaviour, report.target.transport) }
    outcome.summary =
      "\(report.target.address) mapped \(behaviour.mappedAddress), mapping \(word(behaviour.mapping)), "
      + "filtering \(word(behaviour.filtering))"
    if let roundTrip = report.roundTrip { outcome.performance = ["rtt=\(Decimal.milliseconds(roundTrip))ms;;;0;"] }
    outcome.metrics = [
      Metric(
        name: "nat_info", help: "The NAT's mapping and filtering.",
        labels: [("mapping", word(behaviour.mapping)), ("filtering", word(behaviour.filtering))], value: 1)
    ]
  }

  /// A stuntman mode requests tests by name: a requested test that cannot be made is a failure.
  private static func failedTest(
    _ behaviour: NATBehaviour, _ questions: NATDiscovery.Questions, _ report: NATReport
  ) -> CheckFailure? {
    var reasons: [String] = []
    if questions.mapping, case .failure(let unknown) = behaviour.mapping {
      reasons.append("behavior test: \(unknown.reason)")
    }
    if questions.filtering, case .failure(let unknown) = behaviour.filtering {
      reasons.append("filtering test: \(unknown.reason)")
    }
    guard !reasons.isEmpty else { return nil }
    return CheckFailure(
      .refusedByServer,
      "\(report.target.address) over \(report.target.transport.label): \(reasons.joined(separator: "; "))",
      advice: "these tests need a server with two addresses (RFC 5780)")
  }

  // MARK: - stuntman's lines

  private static func stuntman(_ report: NATReport, _ questions: NATDiscovery.Questions) -> [String] {
    guard let behaviour = report.behaviour else {
      return ["Binding test: fail"] + (questions.mapping ? ["Behavior test: fail"] : [])
        + (questions.filtering ? ["Filtering test: fail"] : [])
    }
    var lines = [
      "Binding test: success", "Local address: \(behaviour.localAddress)", "Mapped address: \(behaviour.mappedAddress)",
    ]
    if questions.mapping {
      switch behaviour.mapping {
      case .success(let mapping): lines += ["Behavior test: success", "Nat behavior: \(mapping.stuntman)"]
      case .failure: lines.append("Behavior test: fail")
      }
    }
    if questions.filtering {
      switch behaviour.filtering {
      case .success(let filtering): lines += ["Filtering test: success", "Nat filtering: \(filtering.stuntman)"]
      case .failure: lines.append("Filtering test: fail")
      }
    }
    return lines
  }

  // MARK: - For people

  private static func heading(_ report: NATReport) -> String {
    "\(report.target.uri) (\(report.target.address) over \(report.target.transport.label))"
  }

  private static func lines(_ behaviour: NATBehaviour?, _ report: NATReport) -> [String] {
    guard let behaviour else { return [] }
    var lines: [String] = []
    func line(_ name: String, _ text: String) { lines.append("  \(name.padded(to: 17))\(text)") }
    line("local address", "\(behaviour.localAddress)")
    line("mapped address", "\(behaviour.mappedAddress)")
    line("NAT", behaviour.hasNAT ? "yes" : "no: the mapped address is the local one")
    switch behaviour.mapping {
    case .success(let mapping): line("mapping", mapping.words)
    case .failure(let unknown): line("mapping", "can't tell: \(unknown.reason)")
    }
    switch behaviour.filtering {
    case .success(let filtering): line("filtering", filtering.words)
    case .failure(let unknown): line("filtering", "can't tell: \(unknown.reason)")
    }
    switch behaviour.hairpinning {
    case .success(.none): line("hairpinning", "no")
    case .success(.mappedSource): line("hairpinning", "yes, with external source address")
    case .success(.internalSource): line("hairpinning", "yes, with internal source address")
    case .failure(let unknown): line("hairpinning", "can't tell: \(unknown.reason)")
    }
    if behaviour.hasNAT { line("port", behaviour.preservesPort ? "preserved" : "changed") }
    if case .success(let pooling) = behaviour.pooling { line("address pooling", pooling.rawValue) }
    switch behaviour.rewritesAddresses {
    case .success(true): line("ALG", "a device on the way changes addresses inside messages")
    case .success(false): line("ALG", "none seen")
    case .failure(let unknown): line("ALG", "can't tell: \(unknown.reason)")
    }
    switch report.lifetime {
    case .success(let lifetime)?: line("binding lifetime", lifetime.words)
    case .failure(let unknown)?: line("binding lifetime", "can't tell: \(unknown.reason)")
    case nil: break
    }
    return lines
  }

  /// The consequences for a call.
  private static func advice(_ behaviour: NATBehaviour, _ transport: TransportProtocol) -> [String] {
    var notes: [String] = []
    switch behaviour.mapping {
    case .success(.addressDependent), .success(.addressAndPortDependent):
      notes.append("a \"symmetric\" NAT: calls to another such NAT need a TURN relay")
    case .success, .failure: break
    }
    let isPartial =
      switch (behaviour.mapping, behaviour.filtering) {
      case (.failure, _): true
      case (_, .failure): transport == .udp
      default: false
      }
    if isPartial { notes.append(needs) }
    return notes
  }

  /// The server's prerequisites for every test.
  private static let needs =
    "for a full answer the server needs two IP addresses and two ports (RFC 5780; turnpike: nat-discovery.primary and "
    + "nat-discovery.alternate, coturn: two listening-ip, stuntman: --mode full)"

  // MARK: - For programs

  private static func members(_ report: NATReport) -> [(String, JSONValue)] {
    let behaviour = report.behaviour
    let lifetime: JSONValue
    if case .success(let found)? = report.lifetime {
      lifetime = .record([
        ("at_least", .whole(found.atLeast.wholeSeconds)),
        ("less_than", found.lessThan.map { .whole($0.wholeSeconds) } ?? .null),
      ])
    } else {
      lifetime = .null
    }
    return [
      ("transport", .string(report.target.transport.label.lowercased())),
      ("server", .string(report.target.address.description)),
      ("local", .optional(behaviour?.localAddress.description)),
      ("mapped", .optional(behaviour?.mappedAddress.description)),
      ("nat", behaviour.map { .bool($0.hasNAT) } ?? .null),
      ("mapping", value(behaviour?.mapping)), ("filtering", value(behaviour?.filtering)),
      ("hairpinning", value(behaviour?.hairpinning)),
      ("port_preserved", behaviour.map { .bool($0.preservesPort) } ?? .null),
      ("address_pooling", value(behaviour?.pooling)),
      ("alg", (try? behaviour?.rewritesAddresses.get()).map(JSONValue.bool) ?? .null), ("binding_lifetime_s", lifetime),
      ("unknown", .record(unknown(report))), ("tests", .array(report.trials.map { .record(members($0)) })),
    ]
  }

  /// The reason for each null.
  private static func unknown(_ report: NATReport) -> [(String, JSONValue)] {
    var reasons: [(String, JSONValue)] = []
    func add<T>(_ name: String, _ result: Result<T, NATBehaviour.Unknown>?) {
      switch result {
      case .success?: break
      case .failure(let unknown)?: reasons.append((name, .string(unknown.reason)))
      case nil: reasons.append((name, .string(report.failure?.message ?? "not asked for")))
      }
    }
    let behaviour = report.behaviour
    if behaviour == nil {
      for name in ["local", "mapped", "nat", "port_preserved"] { add(name, Result<Bool, NATBehaviour.Unknown>?.none) }
    }
    add("mapping", behaviour?.mapping)
    add("filtering", behaviour?.filtering)
    add("hairpinning", behaviour?.hairpinning)
    add("address_pooling", behaviour?.pooling)
    add("alg", behaviour?.rewritesAddresses)
    add("binding_lifetime_s", report.lifetime)
    return reasons
  }

  private static func members(_ trial: NATDiscovery.Trial) -> [(String, JSONValue)] {
    var members: [(String, JSONValue)] = [
      ("name", .string(trial.request.name)), ("to", .string(trial.request.destination.description)),
      ("change_address", .bool(trial.request.detour.changesAddress)),
      ("change_port", .bool(trial.request.detour.changesPort)),
    ]
    if case .response(let response, let source) = trial.answer {
      members += [
        ("answered", .bool(true)), ("from", .string(source.description)),
        ("mapped", .string(response.mappedAddress.description)), ("rtt_ms", .milliseconds(response.roundTrip)),
      ]
    } else {
      members += [("answered", .bool(false)), ("from", .null), ("mapped", .null), ("rtt_ms", .null)]
    }
    return members
  }

  private static func value<T: RawRepresentable<String>>(_ result: Result<T, NATBehaviour.Unknown>?) -> JSONValue {
    (try? result?.get()).map { .string($0.rawValue) } ?? .null
  }

  private static func word<T: RawRepresentable<String>>(_ result: Result<T, NATBehaviour.Unknown>) -> String {
    (try? result.get())?.rawValue ?? "unknown"
  }
}

extension NATBehaviour.Mapping {
  /// The name in RFC 4787.
  var words: String {
    switch self {
    case .direct: "none (no NAT)"
    case .endpointIndependent: "Endpoint-Independent Mapping"
    case .addressDependent: "Address-Dependent Mapping"
    case .addressAndPortDependent: "Address and Port-Dependent Mapping"
    }
  }

  /// stuntman's name.
  var stuntman: String {
    switch self {
    case .direct: "Direct Mapping"
    case .endpointIndependent: "Endpoint Independent Mapping"
    case .addressDependent: "Address Dependent Mapping"
    case .addressAndPortDependent: "Address and Port Dependent Mapping"
    }
  }
}

extension NATBehaviour.Filtering {
  var words: String {
    switch self {
    case .endpointIndependent: "Endpoint-Independent Filtering"
    case .addressDependent: "Address-Dependent Filtering"
    case .addressAndPortDependent: "Address and Port-Dependent Filtering"
    }
  }

  var stuntman: String {
    switch self {
    case .endpointIndependent: "Endpoint Independent Filtering"
    case .addressDependent: "Address Dependent Filtering"
    case .addressAndPortDependent: "Address and Port Dependent Filtering"
    }
  }
}

extension BindingLifetime {
  var words: String {
    switch (atLeast.wholeSeconds, lessThan?.wholeSeconds) {
    case (let least, nil): "more than \(least) s, the longest time that was tested"
    case (0, let most?): "less than \(most) s"
    case (let least, let most?): "\(least) to \(most) s"
    }
  }
}
