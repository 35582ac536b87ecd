internal import NetworkTypes
internal import StringPreparation
internal import TLS
internal import TURN

extension Settings {
  /// Contradictions between valid values, and departures from an RFC.
  var contradictionsAndDepartures: [ConfigurationProblem] {
    tlsProblems + listenerProblems + relayProblems + lifetimeProblems + authProblems + redirectProblems
      + natDiscoveryProblems + adminProblems
      + peerProblems + challengeProblems + departures
  }

  private var tlsProblems: [ConfigurationProblem] {
    pairProblems + datagramProblems + certificateProblems + clientAuthorityProblems
  }

  private static let certificateLimit = 64

  private var certificateProblems: [ConfigurationProblem] {
    guard !tls.certificates.isEmpty else { return [] }
    if tls.certificate.isEmpty {
      return [
        ConfigurationProblem(
          key: "tls.certificates", "is given without tls.certificate, which clients without a server name get",
          suggestion: "move the first one to tls.certificate and tls.private-key")
      ]
    }
    guard tls.certificates.count > Self.certificateLimit else { return [] }
    return [
      ConfigurationProblem(
        key: "tls.certificates", "\(tls.certificates.count) certificates; the limit is \(Self.certificateLimit)",
        suggestion: "use certificates with several names")
    ]
  }

  private var clientAuthorityProblems: [ConfigurationProblem] {
    let plain = effectiveListeners.filter { !$0.transport.isSecure }
    guard !tls.clientCA.isEmpty, let first = plain.first else { return [] }
    return [
      ConfigurationProblem(
        .warning, key: "tls.client-ca", "clients of \(ListenerURI.text(first)) need no certificate",
        suggestion: "leave only tls:// and dtls:// listeners if all clients are to present one")
    ]
  }

  /// OpenSSL has no DTLS 1.3. A configured DTLS listener is a contradiction; a default one is omitted.
  private var datagramProblems: [ConfigurationProblem] {
    guard tls.minimumVersion == .tls13 else { return [] }
    guard let listeners else {
      return [
        ConfigurationProblem(
          .warning, key: "tls.minimum-version", "leaves the DTLS listeners out: OpenSSL has DTLS 1.2 at most",
          suggestion: "write 1.2 if clients need DTLS")
      ]
    }
    guard listeners.contains(where: { $0.transport == .dtls }) else { return [] }
    return [
      ConfigurationProblem(
        key: "tls.minimum-version", "is 1.3, and a listener is for DTLS, which has version 1.2 at most in OpenSSL",
        suggestion: "remove the dtls:// listener, or write 1.2")
    ]
  }

  private var pairProblems: [ConfigurationProblem] {
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
    if realms.count > Self.realmLimit {
      problems.append(
        ConfigurationProblem(
          key: "realms", "\(realms.count) realms; the limit is \(Self.realmLimit)", suggestion: "use several servers"))
    }
    return problems + sharedServerNames + familyProblems + proxyProblems
  }

  /// Without trusted proxies a listener with the PROXY protocol would close every connection; and a client that is
  /// trusted itself could name any address as its own.
  private var proxyProblems: [ConfigurationProblem] {
    let isUsed = listeners?.contains { $0.proxyProtocol } ?? false
    let trusted = proxyProtocol.trusted
    if isUsed, trusted.isEmpty {
      return [
        ConfigurationProblem(
          key: "listeners",
          "a listener has proxy-protocol=v2, and proxy-protocol.trusted is empty: no connection would be accepted",
          suggestion: "write the addresses of your proxies, for example proxy-protocol: { trusted: [10.0.0.5] }")
      ]
    }
    if !isUsed, !trusted.isEmpty {
      return [
        ConfigurationProblem(
          .warning, key: "proxy-protocol.trusted", "has no effect: no listener has proxy-protocol=v2",
          suggestion: "write, for example, tcp://0.0.0.0:3478?proxy-protocol=v2 in listeners")
      ]
    }
    return trusted.filter { $0.prefixLength == 0 }.map { block in
      ConfigurationProblem(
        .warning, key: "proxy-protocol.trusted", "\(block) trusts every client to name its own address",
        suggestion: "write the addresses of your proxies only")
    }
  }

  /// Limit of realms besides the default one, because a realm's number is one byte.
  private static let realmLimit = 255
  private static let relayLimit = 64

  /// A server name (SNI) must select one realm.
  private var sharedServerNames: [ConfigurationProblem] {
    var owners: [String: String] = [:]
    var problems: [ConfigurationProblem] = []
    for (name, realm) in realms.sorted(by: { $0.key < $1.key }) {
      for serverName in Set(realm.serverNames.map { $0.lowercased() }).sorted() {
        if let owner = owners.updateValue(name, forKey: serverName) {
          problems.append(
            ConfigurationProblem(
              key: "realms.\(name).server-names", "\(serverName.quoted) is a server name of \(owner.quoted) too",
              suggestion: "keep one of the two"))
        }
      }
    }
    return problems
  }

  /// `[::]` is IPv6 only, although in other programs it serves both families.
  private var familyProblems: [ConfigurationProblem] {
    guard let listeners, listeners.contains(where: { $0.address.address == .ipv6Any }),
      listeners.allSatisfy({ $0.address.family == .ipv6 }), let first = listeners.first
    else { return [] }
    return [
      ConfigurationProblem(
        .warning, key: "listeners", "[::] is IPv6 only: IPv4 clients are not served",
        suggestion:
          "add \(ListenerURI.text(Listener(transport: first.transport, address: SocketAddress(.ipv4Any, port: first.address.port)))) for them"
      )
    ]
  }

  private var relayProblems: [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    if relay.addresses.count > Self.relayLimit {
      problems.append(
        ConfigurationProblem(
          key: "relay.addresses", "\(relay.addresses.count) addresses; the limit is \(Self.relayLimit)",
          suggestion: "leave some out"))
    }
    problems += relay.advertiseProblems
    return problems
  }

  private var lifetimeProblems: [ConfigurationProblem] {
    guard turn.maximumLifetime < turn.defaultLifetime else { return [] }
    return [
      ConfigurationProblem(
        key: "lifetime.maximum", "is shorter than lifetime.default", suggestion: "make it at least as long")
    ]
  }

  private var authProblems: [ConfigurationProblem] {
    guard !turn.isAnonymous, auth.store.isEmpty, auth.users.isEmpty, auth.secrets.isEmpty, auth.oauthKeys.isEmpty,
      realms.values.allSatisfy({ $0.store.isEmpty && $0.users.isEmpty && $0.secrets.isEmpty })
    else { return [] }
    return [
      ConfigurationProblem(
        key: "auth.store", "there is no store, and no user and no secret either: no client could log in",
        suggestion: "configure auth.users, auth.secrets or auth.store")
    ]
  }

  private var redirectProblems: [ConfigurationProblem] {
    guard !turn.redirect.domain.isEmpty, turn.redirect.server == nil else { return [] }
    return [
      ConfigurationProblem(
        key: "redirect.domain", "is given without redirect.server",
        suggestion: "give both, or neither")
    ]
  }

  private var natDiscoveryProblems: [ConfigurationProblem] {
    switch (turn.natDiscovery.primary, turn.natDiscovery.alternate) {
    case (nil, nil):
      return []
    case (.some, nil), (nil, .some):
      let given = turn.natDiscovery.primary == nil ? "alternate" : "primary"
      return [
        ConfigurationProblem(
          key: "nat-discovery.\(given)", "is given without the other address", suggestion: "give both, or neither")
      ]
    case (.some(let primary), .some(let alternate)):
      for (key, address) in [("primary", primary), ("alternate", alternate)] where address.address.isUnspecified {
        return [
          ConfigurationProblem(
            key: "nat-discovery.\(key)", "\(address) is no address that clients can use",
            suggestion: "write an address of this host, for example 192.0.2.10:\(address.port)")
        ]
      }
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
    if admin.demo, admin.listen == .none {
      return [
        ConfigurationProblem(
          key: "admin.demo", "the demo page is a part of the admin endpoint, and admin.listen is empty",
          suggestion: "set admin.listen, for example to 127.0.0.1:8478")
      ]
    }
    guard admin.listen.isRemote, admin.token.isEmpty else { return [] }
    return [
      ConfigurationProblem(
        key: "admin.listen", "\(admin.listen) can be reached from other hosts, and there is no admin.token",
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

  /// Values that differ from those in an RFC.
  private var departures: [ConfigurationProblem] {
    let rules: [(key: String, isKept: Bool, rule: String)] = [
      ("lifetime.default", turn.defaultLifetime == .seconds(600), "RFC 8656 section 7.2 has a default lifetime of 10m"),
      ("lifetime.maximum", turn.maximumLifetime <= .seconds(3600), "RFC 8656 section 7.2 recommends no more than 1h"),
      (
        "lifetime.permission", turn.permissionLifetime == .seconds(300),
        "RFC 8656 section 9 says that a permission lasts 5m"
      ),
      (
        "lifetime.channel", turn.channelLifetime == .seconds(600),
        "RFC 8656 section 12 says that a channel binding lasts 10m"
      ),
      ("relay.ports", relay.ports.lowerBound >= 49152, "RFC 8656 section 7.2 recommends 49152-65535"),
      (
        "auth.nonce-lifetime", turn.nonceLifetime <= .seconds(3600),
        "RFC 8656 section 5 says that a nonce expires at least once an hour"
      ),
      (
        "realm", realm.utf8.count <= 300,
        "a realm of \(realm.utf8.count) bytes makes answers longer than RFC 8489 section 6.1 allows"
      ),
      ("auth.anonymous", !turn.isAnonymous, "every client can relay through this server"),
    ]
    return rules.filter { !$0.isKept }.map { ConfigurationProblem(.warning, key: $0.key, $0.rule) }
  }
}
