public import NetworkTypes

/// The translation of a turnserver.conf: this program's keys, and remarks about options without an equivalent.
///
/// It does no I/O. The caller provides the host's address, which coturn detects itself for an `external-ip`.
public struct CoturnTranslation {
  /// The remarks, in the order in which they were found.
  public private(set) var remarks: [Remark] = []
  private var keys = TranslatedKeys()
  private var oauthKeys: [Settings.OAuthKey] = []
  private let file: CoturnFile
  /// The source address of this host, for an `external-ip` without a private address.
  private let hostAddress: (IPAddress.Family) -> IPAddress?

  /// - Parameters:
  ///   - database: further lines, from the tables of a user database.
  ///   - oauthKeys: the keys of access tokens in that database.
  public init(
    _ bytes: [UInt8], database: [String], oauthKeys: [Settings.OAuthKey],
    hostAddress: @escaping (IPAddress.Family) -> IPAddress?
  ) {
    let lines = database.map { "\n" + $0 }.joined()
    self.init(bytes + Array(lines.utf8), hostAddress: hostAddress)
    remarks.removeAll { Self.databaseOptions.contains($0.option) }
    self.oauthKeys = oauthKeys
  }

  private static let databaseOptions = ["userdb", "db"]

  public init(_ bytes: [UInt8], hostAddress: @escaping (IPAddress.Family) -> IPAddress?) {
    file = CoturnFile(bytes)
    self.hostAddress = hostAddress
    for line in file.lines { remark(on: line) }
    translateListeners()
    translateRelay()
    translatePeers()
    translateCredentials()
    translateLimits()
    translateProtocol()
    remarkOnPrivatePeers()
  }

  /// The keys as a configuration file, which includes secrets and passwords.
  public var yaml: String {
    guard !oauthKeys.isEmpty, case .map(var entries) = keys.output else { return keys.output.document() }
    let schema = Schema<Settings.OAuthKey>.oauthKey
    let item = YAMLOutput.Entry(
      key: "oauth-keys", value: .list(oauthKeys.map { schema.write($0).replacingSecrets { secret, _ in secret } }))
    if let index = entries.firstIndex(where: { $0.key == "auth" }), case .map(let present) = entries[index].value {
      entries[index].value = .map(present + [item])
    } else {
      entries.append(.init(key: "auth", value: .map([item])))
    }
    return YAMLOutput.map(entries).document()
  }

  /// The keys as if read from the file at `path`, so that a problem names the file's line.
  func raw(path: String) -> [RawValue.Entry] { keys.raw(path: path) }

  // MARK: - Reading options

  private func lines(_ option: String) -> [CoturnFile.Line] { file.lines.filter { $0.option == option } }

  /// The last line of an option, which overrides earlier ones.
  private func last(_ option: String) -> CoturnFile.Line? { file.lines.last { $0.option == option } }

  private func isOn(_ option: String) -> Bool { last(option)?.isOn ?? false }

  private mutating func remark(on line: CoturnFile.Line) {
    guard let option = CoturnOption.named(line.option) else {
      return differs(line, "coturn has no such option")
    }
    switch option.fate {
    case .translated: break
    case .unneeded(let because):
      remarks.append(Remark(line: line.number, option: line.option, text: because, isDifference: false))
    // An option that is switched off has no effect.
    case .unsupported(let because): if line.isOn { differs(line, because) }
    }
  }

  private mutating func differs(_ line: CoturnFile.Line, _ text: String) {
    remarks.append(Remark(line: line.number, option: line.option, text: text, isDifference: true))
  }

  /// Whether a password or secret can be written literally: in our configuration, a value that begins with `file:` or
  /// `env:` names the place of the secret.
  private mutating func isWritable(_ secret: some StringProtocol, _ line: CoturnFile.Line) -> Bool {
    guard secret.hasPrefix("file:") || secret.hasPrefix("env:") else { return true }
    differs(line, "a secret that begins with file: or env: cannot be written in the configuration; change it")
    return false
  }

  /// Sets a key to the value of an option's last line.
  private mutating func copy(_ option: String, to key: String, _ form: (String) -> String? = { $0 }) {
    guard let line = last(option) else { return }
    guard !line.value.isEmpty, let value = form(line.value) else {
      return differs(line, "the value \(line.value.quoted) is not valid for \(key)")
    }
    keys.set(key, value, line.number)
  }

  // MARK: - Addresses

  private mutating func translateListeners() {
    let addresses = lines("listening-ip").compactMap { line in address(line).map { ($0, line.number) } }
    let port = self.port("listening-port", 3478)
    let tlsPort = self.port("tls-listening-port", 5349)
    translateDiscovery(addresses.map(\.0), port: port)
    let schemes = self.schemes(port: port, tlsPort: tlsPort)
    let asked = [
      "listening-ip", "listening-port", "tls-listening-port", "aux-server", "no-udp", "no-tcp", "no-tls", "cert",
    ]
    guard asked.contains(where: { last($0) != nil }) else { return }
    let line = addresses.first?.1 ?? asked.compactMap { last($0)?.number }.first ?? 1
    let hosts = addresses.isEmpty ? [.ipv4Any, .ipv6Any] : addresses.map(\.0)
    for host in hosts {
      for (scheme, port) in schemes { keys.append("listeners", "\(scheme)://\(SocketAddress(host, port: port))", line) }
    }
    for extra in lines("aux-server") {
      guard let address = SocketAddress(extra.value) else {
        differs(extra, "\(extra.value.quoted) is not IP:PORT")
        continue
      }
      for (scheme, _) in schemes where scheme == "udp" || scheme == "tcp" {
        keys.append("listeners", "\(scheme)://\(address)", extra.number)
      }
    }
  }

  /// The protocols of the listeners, as coturn chooses them: DTLS only if it is enabled, TLS only with a certificate.
  private func schemes(port: UInt16, tlsPort: UInt16) -> [(String, UInt16)] {
    var schemes: [(String, UInt16)] = []
    if !isOn("no-udp") { schemes.append(("udp", port)) }
    if !isOn("no-tcp") { schemes.append(("tcp", port)) }
    guard last("cert") != nil else { return schemes }
    if !isOn("no-tls") { schemes.append(("tls", tlsPort)) }
    if isOn("dtls") || last("no-dtls")?.isOn == false { schemes.append(("dtls", tlsPort)) }
    return schemes
  }

  private mutating func translateDiscovery(_ addresses: [IPAddress], port: UInt16) {
    guard let line = last("rfc5780") ?? last("alt-listening-port"), line.isOn, !isOn("no-rfc5780") else { return }
    guard let first = addresses.first, let second = addresses.dropFirst().first(where: { $0.family == first.family })
    else { return differs(line, "NAT behaviour discovery needs two listening-ip lines of one family") }
    let other = self.port("alt-listening-port", port &+ 1)
    keys.set("nat-discovery.primary", "\(SocketAddress(first, port: port))", line.number)
    keys.set("nat-discovery.alternate", "\(SocketAddress(second, port: other))", line.number)
  }

  private mutating func translateRelay() {
    let relays = lines("relay-ip").compactMap { line in address(line).map { ($0, line.number) } }
    for (address, line) in relays { keys.append("relay.addresses", "\(address)", line) }
    translateExternalAddresses(relays.map(\.0))
    if let line = last("min-port") ?? last("max-port") {
      keys.set("relay.ports", "\(port("min-port", 49152))-\(port("max-port", 65535))", line.number)
    }
    if isOn("no-tcp-relay"), let line = last("no-tcp-relay") { keys.set("relay.tcp", "false", line.number) }
    if isOn("mobility"), let line = last("mobility") { keys.set("relay.mobility", "true", line.number) }
    if let line = last("relay-threads") ?? last("cpus") {
      // 0 means one thread for coturn, and one for each core for this server.
      keys.set("workers", line.value == "0" ? "1" : line.value, line.number)
    }
  }

  /// Translates `PUBLIC/PRIVATE`, or `PUBLIC` alone for every relay address of its family.
  private mutating func translateExternalAddresses(_ relays: [IPAddress]) {
    let all = lines("external-ip")
    if all.count == 1, let external = IPAddress(all[0].value) {
      // A public address on an interface needs no translation.
      if relays != [external] { keys.set("relay.advertise", "\(external)", all[0].number) }
      return
    }
    for line in lines("external-ip") {
      let parts = line.value.split(separator: "/", omittingEmptySubsequences: false)
      guard (1...2).contains(parts.count), let external = IPAddress(parts[0]) else {
        differs(line, "\(line.value.quoted) is no address")
        continue
      }
      let local =
        parts.count == 2
        ? IPAddress(parts[1])
        : relays.first { $0.family == external.family }
          ?? lines("listening-ip").compactMap { IPAddress($0.value) }.first { $0.family == external.family }
          ?? hostAddress(external.family)
      guard let local else {
        differs(line, "its local address is unknown: write relay.advertise: { LOCAL: \(external) }")
        continue
      }
      if local != external { keys.setItem("relay.advertise", "\(local)", "\(external)", line.number) }
    }
  }

  private mutating func translatePeers() {
    for (option, key) in [("allowed-peer-ip", "peers.allow"), ("denied-peer-ip", "peers.deny")] {
      for line in lines(option) {
        guard let blocks = CoturnRanges.blocks(line.value) else {
          differs(line, "\(line.value.quoted) is no range of addresses")
          continue
        }
        for block in blocks { keys.append(key, "\(block)", line.number) }
      }
    }
    if let line = last("allow-loopback-peers"), line.isOn {
      for block in ["127.0.0.0/8", "::1/128"] { keys.append("peers.allow", block, line.number) }
    }
  }

  /// coturn relays to private networks by default; this server only if the configuration allows it.
  private mutating func remarkOnPrivatePeers() {
    guard last("allowed-peer-ip") == nil, !lines("denied-peer-ip").contains(where: { $0.value.hasPrefix("10.") }) else {
      return
    }
    remarks.append(
      Remark(
        line: nil, option: "denied-peer-ip",
        text:
          "coturn relays to private networks (10.0.0.0/8, …); this server relays only to those in peers.allow",
        isDifference: true))
  }

  private mutating func translateCredentials() {
    copy("realm", to: "realm")
    for line in lines("user") {
      let parts = line.value.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
        differs(line, "the value is not NAME:PASSWORD")
        continue
      }
      guard !parts[1].hasPrefix("0x") else {
        differs(line, "the user \(String(parts[0]).quoted) has a key, not a password: use turnpike user add")
        continue
      }
      guard isWritable(parts[1], line) else { continue }
      keys.setItem("auth.users", String(parts[0]), String(parts[1]), line.number)
    }
    for line in lines("static-auth-secret") where !line.value.isEmpty && isWritable(line.value, line) {
      keys.append("auth.secrets", line.value, line.number)
    }
    if let line = last("no-auth"), line.isOn { keys.set("auth.anonymous", "true", line.number) }
    if let line = last("stale-nonce") {
      // Without a number coturn uses 600 seconds. 0 is an unlimited nonce, which becomes this server's longest
      // lifetime.
      let seconds = line.value.isEmpty ? "600" : line.value == "0" ? "86400" : line.value
      keys.set("auth.nonce-lifetime", seconds, line.number)
    }
  }

  private mutating func translateLimits() {
    copy("user-quota", to: "limits.allocations-per-user")
    copy("total-quota", to: "limits.allocations")
    copy("max-bps", to: "limits.bandwidth-per-allocation")
    copy("bps-capacity", to: "limits.bandwidth")
    copy("max-allocate-lifetime", to: "lifetime.maximum")
    copy("channel-lifetime", to: "lifetime.channel")
    copy("permission-lifetime", to: "lifetime.permission")
    copy("unauthorized-ratelimit-rps", to: "limits.unauthenticated-per-address")
  }

  private mutating func translateProtocol() {
    if let line = last("software-attribute"), line.isOn { keys.set("software", "Turnpike", line.number) }
    if let line = last("rfc3489-compatibility") ?? last("stun-backward-compatibility"), line.isOn {
      keys.set("rfc3489", "true", line.number)
    }
    if let line = last("rfc5766-channel-numbers") {
      keys.set("rfc5766-channels", line.isOn ? "true" : "false", line.number)
    }
    translateRedirect()
    copy("CA-file", to: "tls.client-ca")
    copy("cert", to: "tls.certificate")
    copy("pkey", to: "tls.private-key")
    if let line = last("no-tlsv1_2"), line.isOn { keys.set("tls.minimum-version", "1.3", line.number) }
    if let line = last("Verbose"), line.isOn { keys.set("log.level", "debug", line.number) }
    copy("log-min-level", to: "log.level") { ["debug", "info", "warning", "error"].contains($0) ? $0 : nil }
  }

  private mutating func translateRedirect() {
    let servers = lines("alternate-server") + lines("tls-alternate-server")
    for (index, line) in servers.enumerated() {
      if index == 0 {
        keys.set("redirect.server", line.value, line.number)
      } else {
        differs(line, "redirect.server takes one server, which is the first of these")
      }
    }
  }

  private mutating func address(_ line: CoturnFile.Line) -> IPAddress? {
    if let address = IPAddress(line.value) { return address }
    differs(line, "\(line.value.quoted) is no address")
    return nil
  }

  private mutating func port(_ option: String, _ standard: UInt16) -> UInt16 {
    guard let line = last(option) else { return standard }
    if let port = UInt16(line.value), port > 0 { return port }
    differs(line, "\(line.value.quoted) is no port")
    return standard
  }
}
