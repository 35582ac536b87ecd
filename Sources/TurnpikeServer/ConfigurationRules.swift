public import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import NetIO
internal import NetworkTypes
internal import StringPreparation
public import System
internal import TLS
internal import TURN

/// Reads the content of a file, on a thread that may wait for it.
public typealias FileContent = (_ path: String) throws(FileError) -> [UInt8]

/// The rules of a configuration beyond the types and ranges of its keys. `check`, a start and a reload all use them, so
/// that they refuse the same configurations. They change nothing outside the process.
public enum ConfigurationRules {
  /// Problems with the names of realms and users, which do not depend on the host.
  public static func nameProblems(_ settings: Settings) -> [ConfigurationProblem] {
    let realms =
      [(name: settings.realm, key: "realm", users: settings.auth.users, usersKey: "auth.users")]
      + settings.realms.sorted { $0.key < $1.key }.map {
        (name: $0.key, key: "realms.\($0.key)", users: $0.value.users, usersKey: "realms.\($0.key).users")
      }
    return realms.flatMap { realm in
      if let problem = realmProblem(realm.name, key: realm.key) { return [problem] }
      return userProblems(realm.users, realm: realm.name, key: realm.usersKey)
    }
  }

  /// Every problem for which the server would refuse to start on this host, or would warn.
  ///
  /// - Parameter read: reads certificates and keys.
  public static func hostProblems(
    _ settings: Settings, environment: [String: String],
    read: FileContent = { path throws(FileError) in try Files.readRegular(path) }
  ) -> [ConfigurationProblem] {
    stateProblems(settings, environment: environment) + listenerProblems(settings) + relayProblems(settings)
      + certificateProblems(settings.tls, read: read) + modeProblems(settings, environment: environment)
  }

  /// Every problem for which a reload is refused: those of `hostProblems`, so that the next start succeeds, and those
  /// that only concern the running listeners.
  public static func reloadProblems(
    _ fresh: Settings, running: Settings, environment: [String: String], read: FileContent
  ) -> [ConfigurationProblem] {
    var problems = hostProblems(fresh, environment: environment, read: read)
    let merged = fresh.merged(into: running).settings
    let keepsDatagrams = running.effectiveListeners.contains { $0.transport == .dtls }
    if keepsDatagrams, merged.tls.minimumVersion == .tls13 {
      problems.append(
        ConfigurationProblem(
          key: "tls.minimum-version", "is 1.3, and the running server listens for DTLS, which has version 1.2 at most",
          suggestion: "restart the server, or write 1.2"))
    }
    return problems
  }

  // MARK: - Names

  private static func realmProblem(_ name: String, key: String) -> ConfigurationProblem? {
    do throws(PreparationError) {
      if try OpaqueString.prepare(Array(name.utf8)) == Array(name.utf8) { return nil }
      return ConfigurationProblem(
        key: key,
        "\(name.debugDescription) is not in the form that RFC 8489 section 14.9 requires (OpaqueString, RFC 8265)",
        suggestion: "write it in Unicode's normal form C, with plain spaces")
    } catch {
      return ConfigurationProblem(key: key, "can't be used: \(error)", suggestion: "write, for example, example.org")
    }
  }

  private static func userProblems(_ users: [String: String], realm: String, key: String) -> [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    var known = StaticCredentials()
    for (name, password) in users.sorted(by: { $0.key < $1.key }) {
      do throws(UserRecord.Invalid) {
        let user = try UserRecord(name: name, realm: realm, password: Array(password.utf8))
        if !known.add(user) {
          problems.append(
            ConfigurationProblem(
              key: "\(key).\(name)", "is the same name as another one of this list after preparation",
              suggestion: "change the name"))
        }
      } catch {
        problems.append(
          ConfigurationProblem(key: "\(key).\(name)", "\(error)", suggestion: "use letters, digits, symbols and spaces")
        )
      }
    }
    return problems
  }

  // MARK: - State

  private static func stateProblems(_ settings: Settings, environment: [String: String]) -> [ConfigurationProblem] {
    let directory = StateDirectory.resolve(configured: settings.stateDirectory, environment: environment, makes: false)
    if !settings.stateDirectory.isEmpty, directory.path == nil {
      return [.stateDirectory(directory)]
    }
    let realms = settings.realms.sorted { $0.key < $1.key }.map {
      (key: "realms.\($0.key).store", store: $0.value.store)
    }
    return ([(key: "auth.store", store: settings.auth.store)] + realms).compactMap { key, store in
      // A new directory has no store yet.
      guard let path = StorePath.path(of: store, in: directory.path),
        !directory.isNew || !path.hasPrefix("\(directory.path ?? "")/")
      else { return nil }
      do throws(StoreError) {
        try SQLiteCredentialStore.examine(path: path)
        return nil
      } catch {
        return ConfigurationProblem(key: key, "\(error)", suggestion: "correct it, or run this as the server's user")
      }
    }
  }

  // MARK: - Addresses

  private static func listenerProblems(_ settings: Settings) -> [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    for address in Set((settings.listeners ?? []).map(\.address.address)).sorted() where !isHere(address) {
      problems.append(absent(address, key: "listeners"))
    }
    let discovery = settings.turn.natDiscovery
    for (key, address) in [
      ("nat-discovery.primary", discovery.primary), ("nat-discovery.alternate", discovery.alternate),
    ] {
      if let address, !isHere(address.address) { problems.append(absent(address.address, key: key)) }
    }
    return problems
  }

  private static func relayProblems(_ settings: Settings) -> [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    for address in settings.relay.addresses where !isHere(address) {
      var problem = absent(address, key: "relay.addresses")
      problem.severity = .warning
      problem.message += "; relays on it are refused (508) until it is"
      problems.append(problem)
    }
    let hostAddresses = Interfaces.addresses()
    let relays = RelayAddresses.detect(
      configured: settings.relay.addresses, hostAddresses: hostAddresses, hasIPv6: Interfaces.hasIPv6)
    if settings.relay.advertise == .automatic, settings.relay.sources == [.interface] {
      for local in relays where !PeerRules().permits(local) {
        problems.append(
          ConfigurationProblem(
            .warning, key: "relay.detect", "finds nothing on the interface: \(local) is private",
            suggestion: "add cloud, or a STUN server: [ interface, cloud, \"stun:stun.example.org\" ]"))
      }
    }
    problems += sharedAddressProblems(settings.relay.advertise, relays)
    guard case .mapping(let addresses) = settings.relay.advertise else { return problems }
    for local in addresses.keys.sorted() where !relays.contains(local) {
      problems.append(
        ConfigurationProblem(
          .warning, key: "relay.advertise",
          "\(local) is \(hostAddresses.contains(local) ? "no relay address" : "on no interface of this host"), so nothing is advertised for it",
          suggestion: "relays use \(list(relays)); this host has \(list(hostAddresses))"))
    }
    return problems
  }

  /// Reports one public address for several relays. Addresses from a search are checked when the search has found them.
  private static func sharedAddressProblems(_ advertise: Advertise, _ relays: [IPAddress]) -> [ConfigurationProblem] {
    let entries = relays.compactMap { local -> RelayedAddresses.Entry? in
      if case .name? = advertise.configured(for: local) { return nil }
      return advertise == .automatic
        ? nil : RelayedAddresses.Entry(local: local, advertised: advertise.address(for: local) ?? local)
    }
    return RelayAddresses.shared(entries).map { shared in
      ConfigurationProblem(
        .warning, key: "relay.advertise",
        "clients are told \(shared.advertised) for \(list(shared.locals)): \(RelayAddresses.sharedEffect)",
        suggestion: RelayAddresses.sharedRemedy)
    }
  }

  private static func isHere(_ address: IPAddress) -> Bool {
    // A new IPv6 address cannot be bound for a second or two (RFC 4862 section 5.4), although the host already has it.
    if Interfaces.addresses().contains(address) { return true }
    do throws(Errno) {
      try PortProbe.check(SocketAddress(address, port: 0), isStream: false)
      return true
    } catch {
      return error != .addressNotAvailable && error != .familyNotSupported && error != .invalidArgument
    }
  }

  private static func absent(_ address: IPAddress, key: String) -> ConfigurationProblem {
    ConfigurationProblem(
      key: key, "\(address) is on no interface of this host",
      suggestion: "this host has \(list(Interfaces.addresses()))")
  }

  /// The first eight addresses, loopback ones last: hosts with containers have hundreds.
  private static func list(_ addresses: [IPAddress]) -> String {
    let limit = 8
    let sorted = Set(addresses).sorted { ($0.isLoopback ? 1 : 0, $0) < ($1.isLoopback ? 1 : 0, $1) }
    return sorted.prefix(limit).map(\.description).joined(separator: ", ") + (sorted.count > limit ? ", …" : "")
  }

}

extension ConfigurationProblem {
  /// The problem of a configured state directory that cannot be used.
  public static func stateDirectory(_ directory: StateDirectory) -> ConfigurationProblem {
    ConfigurationProblem(
      key: "state-directory", "cannot be used: \(directory.refusals.joined(separator: "; "))",
      suggestion: "make it, and give it to the user that runs the server")
  }
}

/// The paths of embedded stores.
public enum StorePath {
  /// The path of `sqlite:PATH`, relative to the state directory; nil for other stores, and without a directory.
  public static func path(of store: String, in directory: String?) -> String? {
    guard store.hasPrefix("sqlite:") else { return nil }
    let name = store.dropFirst("sqlite:".count)
    return name.hasPrefix("/") ? String(name) : directory.map { "\($0)/\(name)" }
  }
}
