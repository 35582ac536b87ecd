public import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import NetworkTypes
internal import System
internal import TLS

/// Examines this host for a server with a configuration: limits, clock, addresses, certificates, ports, kernel and
/// store. It changes nothing, and may run beside the server.
public struct Doctor {
  /// The verdicts, from best to worst.
  public enum Verdict: String, Sendable, CaseIterable, Comparable {
    case good
    case warning
    case failed

    public static func < (one: Verdict, other: Verdict) -> Bool { one.rank < other.rank }

    private var rank: Int {
      switch self {
      case .good: 0
      case .warning: 1
      case .failed: 2
      }
    }
  }

  /// The result of one examination. A finding that is not good has a remedy.
  public struct Finding: Equatable, Sendable {
    /// The word for the examined part, such as `clock`.
    public var area: String
    public var verdict: Verdict
    /// The facts, in one line.
    public var text: String
    /// The advice to the operator; nil if the verdict is `good`.
    public var remedy: String?

    public init(_ area: String, _ verdict: Verdict, _ text: String, remedy: String? = nil) {
      self.area = area
      self.verdict = verdict
      self.text = text
      self.remedy = remedy
    }
  }

  let settings: Settings
  let environment: [String: String]
  /// The relay addresses with their advertised addresses.
  let relays: [RelayFacts]

  /// Every finding, area by area.
  public static func examine(_ settings: Settings, environment: [String: String]) -> [Finding] {
    let doctor = Doctor(settings, environment: environment)
    return doctor.configuration + doctor.descriptors + doctor.socketBuffers + doctor.clock + doctor.addresses
      + doctor.certificates + doctor.ports + doctor.relayPorts + doctor.kernel + doctor.stores + doctor.firewall
  }

  init(_ settings: Settings, environment: [String: String]) {
    self.settings = settings
    self.environment = environment
    relays = Self.relays(of: settings)
  }

  /// The problems that `check` reports.
  private var configuration: [Finding] {
    let problems = ConfigurationRules.hostProblems(settings, environment: environment)
    if problems.isEmpty { return [Finding("configuration", .good, "every rule is kept")] }
    return problems.map { problem in
      Finding(
        "configuration", problem.severity == .error ? .failed : .warning,
        (problem.key.map { "\($0): " } ?? "") + problem.message, remedy: problem.suggestion ?? "correct it")
    }
  }

  // MARK: - Certificates

  private var certificates: [Finding] {
    guard settings.effectiveListeners.contains(where: \.transport.isSecure) else { return [] }
    guard !settings.tls.certificate.isEmpty else {
      return [
        Finding(
          "certificate", .warning, "self-signed: browsers refuse turns: URLs",
          remedy: "set tls.certificate and tls.private-key to a certificate that browsers trust")
      ]
    }
    // Errors are in the findings about the configuration.
    guard let all = try? CertificateSource.certificates(settings.tls, Files.readRegular) else { return [] }
    let now = Now.read().wall
    return all.all.map { files in
      if let remark = CertificateRemark(files, now: now) {
        return Finding(
          "certificate", remark.isInvalid ? .failed : .warning, remark.text,
          remedy: "renew it; the server reads the files when they change")
      }
      let names = files.leaf.dnsNames.joined(separator: ", ")
      let text = "\(files.chain.name): \(files.leaf.daysLeft(now: now)) days left, for \(names)"
      guard names.isEmpty else { return Finding("certificate", .good, text) }
      return Finding(
        "certificate", .warning, "\(files.chain.name): has no DNS name, which browsers need",
        remedy: "get a certificate for the name in your turns: URLs")
    }
  }

  // MARK: - Stores

  private var stores: [Finding] {
    let directory = StateDirectory.resolve(
      configured: settings.stateDirectory, environment: environment, makes: false)
    let names = Set([settings.auth.store] + settings.realms.values.map(\.store)).filter { !$0.isEmpty }.sorted()
    return names.map { name in
      guard let path = StorePath.path(of: name, in: directory.path) else {
        return Finding(
          "store", .warning, "\(name): no state directory can be written, so users are lost when the server ends",
          remedy: "run this as the server's user, or set state-directory")
      }
      guard Files.exists(path) else { return Finding("store", .good, "\(path): the first start makes it") }
      do throws(StoreError) {
        guard let damage = try SQLiteCredentialStore.damage(path: path) else {
          return Finding("store", .good, "\(path): whole")
        }
        return Finding(
          "store", .failed, "\(path): damaged: \(damage)",
          remedy: "restore a copy, or save what can be read: sqlite3 \(path) .recover")
      } catch {
        return Finding("store", .failed, "\(error)", remedy: "correct owner and mode, or restore a copy of the file")
      }
    }
  }
}
