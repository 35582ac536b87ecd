internal import NetworkTypes

extension Settings {
  /// What is wrong with values that are right one by one, and where they leave an RFC.
  var contradictionsAndDepartures: [ConfigurationProblem] {
    tlsProblems + listenerProblems + relayProblems + lifetimeProblems + authProblems + redirectProblems + natDiscoveryProblems + adminProblems
      + peerProblems + departures
  }

  private var tlsProblems: [ConfigurationProblem] {
    guard tls.certificate.isEmpty != tls.privateKey.isEmpty else { return [] }
    let (given, missing) = tls.privateKey.isEmpty ? ("certificate", "private-key") : ("private-key", "certificate")
    return [
      ConfigurationProblem(
        key: "tls.\(given)", "is given without tls.\(missing)", suggestion: "give both, or neither")
    ]
  }

  private var listenerProblems: [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    for name in Set((listeners ?? []).compactMap(\.realm)).sorted() where name != realm && realms[name] == nil {
      let known = [realm] + realms.keys.sorted()
      problems.append(
        ConfigurationProblem(
          key: "listeners", "the realm \(name.quoted) is not configured",
          suggestion: NearestWord.find(name, among: known).map { "did you mean \($0)?" }
            ?? "add it to realms, or use \(known.joined(separator: ", "))"))
    }
    if realms[realm] != nil {
      problems.append(
        ConfigurationProblem(
          key: "realms", "\(realm.quoted) is the default realm", suggestion: "configure it in auth, not in realms"))
    }
    return problems
  }

  private var relayProblems: [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    for (local, advertised) in relay.advertise.sorted(by: { $0.key < $1.key }) where local.family != advertised.family {
      problems.append(
        ConfigurationProblem(
          key: "relay.advertise", "\(local) and \(advertised) are not of one family",
          suggestion: "name an \(local.family == .ipv4 ? "IPv4" : "IPv6") address for \(local)"))
    }
    return problems
  }

  private var lifetimeProblems: [ConfigurationProblem] {
    guard lifetime.maximum < lifetime.default else { return [] }
    return [
      ConfigurationProblem(
        key: "lifetime.maximum", "is shorter than lifetime.default", suggestion: "make it as long at least")
    ]
  }

  private var authProblems: [ConfigurationProblem] {
    guard !auth.anonymous, auth.store.isEmpty, auth.users.isEmpty, auth.secrets.isEmpty, auth.oauthKeys.isEmpty,
      realms.isEmpty
    else { return [] }
    return [
      ConfigurationProblem(
        key: "auth.store", "there is no store, and no user and no secret either: nobody could log in",
        suggestion: "configure auth.users, auth.secrets or auth.store")
    ]
  }

  private var redirectProblems: [ConfigurationProblem] {
    guard !redirect.domain.isEmpty, redirect.server.isEmpty else { return [] }
    return [
      ConfigurationProblem(
        key: "redirect.domain", "is given without redirect.server",
        suggestion: "give the address to send clients to, or neither")
    ]
  }

  private var natDiscoveryProblems: [ConfigurationProblem] {
    switch (natDiscovery.primary, natDiscovery.alternate) {
    case (nil, nil):
      return []
    case (.some, nil), (nil, .some):
      let given = natDiscovery.primary == nil ? "alternate" : "primary"
      return [
        ConfigurationProblem(
          key: "nat-discovery.\(given)", "is given without the other address", suggestion: "give both, or neither")
      ]
    case (.some(let primary), .some(let alternate)):
      let differs =
        primary.address != alternate.address && primary.port != alternate.port && primary.family == alternate.family
      if differs { return [] }
      return [
        ConfigurationProblem(
          key: "nat-discovery.alternate", "does not differ from primary in both address and port, within one family",
          suggestion: "RFC 5780 needs two addresses and two ports")
      ]
    }
  }

  private var adminProblems: [ConfigurationProblem] {
    guard let listen = admin.listen, !listen.address.isLoopback, admin.token.isEmpty else { return [] }
    return [
      ConfigurationProblem(
        key: "admin.listen", "\(listen) can be reached from other hosts, and there is no admin.token",
        suggestion: "set admin.token, or listen on 127.0.0.1")
    ]
  }

  private var peerProblems: [ConfigurationProblem] {
    let closed = [
      CIDRBlock(IPAddress(ipv6High: 0x2002 << 48, low: 0), prefixLength: 16),
      CIDRBlock(IPAddress(ipv6High: 0x2001_0000 << 32, low: 0), prefixLength: 32),
    ]
    return peers.allow.filter { block in
      closed.contains { $0.prefixLength <= block.prefixLength && $0.contains(block.base) }
    }.map { block in
      ConfigurationProblem(
        .warning, key: "peers.allow", "\(block) is 6to4 or Teredo, which stay closed (RFC 8656 section 21.4)",
        suggestion: "remove it")
    }
  }

  /// Values that an RFC names and that this configuration leaves.
  private var departures: [ConfigurationProblem] {
    let rules: [(key: String, isKept: Bool, rule: String)] = [
      ("lifetime.default", lifetime.default == 600, "RFC 8656 section 7.2 has a default lifetime of 10m"),
      ("lifetime.maximum", lifetime.maximum <= 3600, "RFC 8656 section 7.2 recommends no more than 1h"),
      ("lifetime.permission", lifetime.permission == 300, "RFC 8656 section 9 says that a permission lasts 5m"),
      ("lifetime.channel", lifetime.channel == 600, "RFC 8656 section 12 says that a channel binding lasts 10m"),
      ("relay.ports", relay.ports.lowerBound >= 49152, "RFC 8656 section 7.2 recommends 49152-65535"),
      ("auth.nonce-lifetime", auth.nonceLifetime <= 3600, "RFC 8656 section 5 has nonces expire every hour at least"),
      ("realm", realm.utf8.count <= 300, "a realm of \(realm.utf8.count) bytes makes answers longer than RFC 8489 section 6.1 allows"),
      ("auth.anonymous", !auth.anonymous, "anybody can relay through this server"),
    ]
    return rules.filter { !$0.isKept }.map { ConfigurationProblem(.warning, key: $0.key, $0.rule) }
  }
}
