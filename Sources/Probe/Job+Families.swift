internal import System
internal import ClientIO
internal import CommandLine
internal import NetIO
internal import NetworkTypes

extension Job {
  /// Runs a check once for each family of the target's addresses: the success of one family must not hide the failure
  /// of the other. A family to which this machine has no route is skipped with a note.
  func onEachFamily(
    _ check: (Job, [ServerTarget], inout Outcome) throws(UsageError) -> Void
  ) throws(UsageError) -> Outcome {
    var outcome = self.outcome
    guard let targets = targets(&outcome) else { return outcome }
    let families = try families(of: targets)
    guard families.count > 1, !arguments.isStuntmanCompatible else {
      try check(self, targets, &outcome)
      if let used = outcome.family { addFamilyNote(used, among: targets, &outcome) }
      return outcome
    }
    let obstacles = families.map { family in obstacle(to: targets.filter { $0.address.family == family }) }
    let isAnyReachable = obstacles.contains { $0 == nil }
    var parts: [Outcome] = []
    for (family, missing) in zip(families, obstacles) {
      var part = Outcome(command: outcome.command, uri: outcome.uri)
      part.family = family
      if interruption?.isInterrupted == true {
        part.skipped = "interrupted"
      } else if isAnyReachable, let missing {
        part.skipped = missing
      } else {
        var job = self
        job.label = label + family.label + " "
        try check(job, targets.filter { $0.address.family == family }, &part)
      }
      parts.append(part)
    }
    outcome.take(parts)
    return outcome
  }

  /// The families of the addresses that can be used, in the order of preference.
  func families(of targets: [ServerTarget]) throws(UsageError) -> [IPAddress.Family] {
    var families: [IPAddress.Family] = []
    for target in targets where !families.contains(target.address.family) {
      if try options(for: target) != nil { families.append(target.address.family) }
    }
    return families
  }

  /// Adds a note that names the family that was checked, if the target has addresses of the other too.
  func addFamilyNote(_ used: IPAddress.Family, among targets: [ServerTarget], _ outcome: inout Outcome) {
    outcome.family = used
    let other: IPAddress.Family = used == .ipv4 ? .ipv6 : .ipv4
    guard arguments.mode == nil, arguments.localAddress == nil, targets.contains(where: { $0.address.family == other })
    else { return }
    outcome.notes.append(
      "over \(used.label) only; \(other == .ipv4 ? "-4" : "-6") checks \(other.label)")
  }

  /// The reason why the first address cannot be reached; nil if one of the addresses has a route. Sends nothing.
  private func obstacle(to targets: [ServerTarget]) -> String? {
    var first: String?
    for target in targets {
      let address = target.address.address
      do {
        let source = try ClientSocket.udp(to: target.address).localAddress?.address
        // A router's announcement makes a default route, but a link-local source address gets no answer from beyond it.
        guard let source, LocalAddress.isLinkLocal(source), !LocalAddress.isLinkLocal(address) else { return nil }
        first = first ?? "this machine has only the link-local address \(source) to reach \(address) from"
      } catch {
        guard [.networkUnreachable, .addressNotAvailable, .familyNotSupported].contains(error) else { return nil }
        first = first ?? "this machine has no route to \(address) (\(error))"
      }
    }
    return first
  }
}

extension IPAddress.Family {
  var label: String { self == .ipv4 ? "IPv4" : "IPv6" }
  /// The family's name in documents and metrics.
  var key: String { self == .ipv4 ? "ipv4" : "ipv6" }
  /// The type of the DNS records with addresses of this family.
  fileprivate var record: String { self == .ipv4 ? "A" : "AAAA" }
}

extension Outcome {
  /// Merges the families' results: the first failure, and the members of the first family without one.
  mutating func take(_ found: [Outcome]) {
    parts = found
    let isOneGood = parts.contains { $0.failure == nil && $0.skipped == nil }
    for index in parts.indices where isOneGood { parts[index].blameFamily() }
    let main = parts.first { $0.failure == nil && $0.skipped == nil } ?? parts.first { $0.skipped == nil }
    family = main?.family
    members = main?.members ?? []
    for part in parts {
      let name = part.name
      if let reason = part.skipped { notes.append("\(name) was not checked: \(reason)") }
      if failure == nil, var first = part.failure {
        first.message = "\(name): \(first.message)"
        failure = first
      }
      warnings += part.warnings.map { "\(name): \($0)" }
      complaints += part.complaints.map { complaint in
        var complaint = complaint
        complaint.message = "\(name): \(complaint.message)"
        return complaint
      }
      notes += part.notes.map { "\(name): \($0)" }
      guard let family = part.family else { continue }
      performance += part.performance.map { figure in
        let mark = figure.firstIndex(of: "=") ?? figure.endIndex
        return "\(figure[..<mark])_\(family.key)\(figure[mark...])"
      }
      metrics += part.metrics.map { metric in
        var metric = metric
        metric.labels.append(("family", family.key))
        return metric
      }
      guard part.skipped == nil else { continue }
      metrics.append(
        Metric(
          name: "family_success", help: "Whether the check succeeded over this family.",
          labels: [("family", family.key)], value: part.failure == nil ? 1 : 0))
    }
    summary = parts.filter { $0.failure == nil && $0.skipped == nil }.map { "\($0.name): \($0.summary)" }
      .joined(separator: "; ")
  }

  var name: String { family?.label ?? "" }

  /// If the other family works, the DNS name is the likely cause of an address that does not answer.
  private mutating func blameFamily() {
    guard let family, let reason = failure?.reason, failure?.isInterruption == false else { return }
    let has = "the name has an \(family.record) record, but"
    let remedy = "listen there, or remove the record"
    switch reason {
    case .refused: failure?.advice = "\(has) the server does not listen on \(family.label): \(remedy)"
    case .timeout:
      failure?.advice =
        "\(has) the server does not listen on \(family.label), a firewall drops it, or this machine's "
        + "\(family.label) does not work: \(remedy), or use \(family == .ipv6 ? "-4" : "-6")"
    case .unreachable: failure?.advice = "\(has) there is no route to its \(family.label) address: \(remedy)"
    default: break
    }
  }
}
