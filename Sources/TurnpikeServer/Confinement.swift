public import Configuration
internal import Hardening
internal import Log
internal import NetIO
internal import NetworkTypes
internal import Synchronization
internal import System

/// Drops privileges of the process (`hardening.…`) step by step, as soon as its threads have opened what they need. It
/// keeps the steps that failed for the log.
///
/// Capabilities and Landlock rules belong to a thread, and a new thread inherits them. So a thread drops them before it
/// starts others, or each thread drops them itself. The system call filter comes last and covers all threads.
public final class Confinement: Sendable {
  private struct State {
    var failures: [String] = []
    /// Capabilities that the configured files need.
    var kept: Capabilities = []
    var hasFence = false
    var hasFilter = false
  }

  private let settings: Settings.HardeningSection
  /// Files of the configuration, which a reload reads again.
  private let configurationFiles: [String]
  private let state = Mutex(State())
  /// Whether the kernel has Landlock; queried before the system call filter, which does not allow the call.
  private let hasLandlock = FileFence.version > 0

  /// Forbids core dumps and new privileges, which no later step needs. Must be called before any thread starts.
  public init(_ settings: Settings.HardeningSection, configurationFiles: [String]) {
    self.settings = settings
    self.configurationFiles = configurationFiles
    if !settings.coreDumps { attempt("core dumps") { () throws(Errno) in try ProcessLocks.forbidCoreDumps() } }
    if settings.noNewPrivileges || settings.landlock || settings.seccomp {
      attempt("no new privileges") { () throws(Errno) in try ProcessLocks.forbidNewPrivileges() }
    }
  }

  /// Confines a thread that only writes to open descriptors.
  public func confineWriter() {
    if settings.landlock, hasLandlock {
      attempt("landlock") { () throws(Errno) in try FileFence().restrict() }
    }
    if settings.capabilities { attempt("capabilities") { () throws(Errno) in try Capabilities.keep([]) } }
  }

  /// Confines the thread that looks up names and asks other hosts, and needs no files of the server.
  func confineResolver() {
    if settings.landlock, hasLandlock {
      attempt("landlock") { () throws(Errno) in
        try FileFence(readable: Self.systemFiles.filter { $0 != Self.ownFolder } + Self.resolverFiles).restrict()
      }
    }
    if settings.capabilities { attempt("capabilities") { () throws(Errno) in try Capabilities.keep([]) } }
  }

  /// Confines the main thread before it starts other threads, which inherit the rules.
  ///
  /// - Parameters:
  ///   - reading: files that the server reads again while it runs: certificates and keys.
  ///   - writing: folders of state and stores.
  ///   - resolvesNames: whether libcurl looks up names and checks certificates.
  ///   - sockets: folders of Unix sockets.
  func confineFiles(reading: [String], writing: [String], resolvesNames: Bool, sockets: [String]) {
    let files = configurationFiles + reading
    if settings.capabilities {
      let needed = Capabilities.needed(reading: files, writing: writing)
      state.withLock { $0.kept = needed }
    }
    guard settings.landlock, hasLandlock else { return }
    let fence = FileFence(
      readable: Self.systemFiles + (resolvesNames ? Self.networkFiles : []) + files.flatMap(Self.folders),
      writable: writing.flatMap { [$0, Files.resolved($0)] }, sockets: sockets)
    if attempt("landlock", { () throws(Errno) in try fence.restrict() }) { state.withLock { $0.hasFence = true } }
  }

  /// Drops the capabilities of the calling thread and of threads that it starts.
  func confineThread() {
    guard settings.capabilities else { return }
    let kept = state.withLock { $0.kept }
    attempt("capabilities") { () throws(Errno) in try Capabilities.keep(kept) }
  }

  /// Loads the system call filter for all threads, after all have started.
  ///
  /// - Parameter allowsThreads: whether threads may be started later, as libcurl does to look up names.
  func filterSystemCalls(allowsThreads: Bool) {
    awaitThreads()
    guard settings.seccomp else { return }
    if attempt("seccomp", { () throws(Errno) in try SystemCallFilter.load(allowsThreads: allowsThreads) }) {
      state.withLock { $0.hasFilter = true }
    }
  }

  /// Waits up to a second until every thread has dropped its capabilities: on a busy core a thread that has just
  /// started may not have run yet.
  private func awaitThreads() {
    guard settings.capabilities else { return }
    let kept = state.withLock { $0.kept }
    let deadline = Instant.read().advanced(by: .seconds(1))
    while Instant.read() < deadline, !Capabilities.threads(with: kept).isEmpty {
      Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(5)))
    }
  }

  /// Logs the active measures, and those that failed.
  func report(to log: Log) {
    var state = state.withLock { $0 }
    if settings.capabilities {
      state.failures += Capabilities.threads(with: state.kept).map { "capabilities: the thread \($0) has others" }
    }
    let landlock: LogValue =
      !settings.landlock ? "off" : !hasLandlock ? "unknown to this kernel" : Self.word(state.hasFence)
    log.info(
      "hardened", ("capabilities", settings.capabilities ? .text("\(state.kept)") : "unchanged"),
      ("no-new-privileges", settings.noNewPrivileges || settings.landlock || settings.seccomp ? "on" : "off"),
      ("seccomp", Self.word(state.hasFilter)), ("landlock", landlock), ("core-dumps", Self.word(settings.coreDumps)))
    guard !state.failures.isEmpty else { return }
    log.warning(
      "hardening-incomplete", ("reason", .text(state.failures.joined(separator: "; "))),
      ("effect", "the server runs with more rights than it needs"),
      ("remedy", "let the host or container allow it, or switch it off: hardening.…: false"))
  }

  private static func word(_ isOn: Bool) -> LogValue { isOn ? "on" : "off" }

  @discardableResult
  private func attempt(_ what: String, _ step: () throws(Errno) -> Void) -> Bool {
    do throws(Errno) {
      try step()
      return true
    } catch {
      let failure = "\(what): \(error)"
      state.withLock { if !$0.failures.contains(failure) { $0.failures.append(failure) } }
      return false
    }
  }

  /// Files that libraries read late: OpenSSL's and the C library's modules and configuration, and the process's entries
  /// in /proc.
  private static let systemFiles = [
    ownFolder,
    "/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/etc/ssl/openssl.cnf", "/etc/ld.so.cache", "/proc",
    "/sys/devices/system/cpu", "/dev/null", "/dev/urandom",
  ]

  private static let ownFolder = "/etc/turnpike"

  /// Files that the C library needs to look up names.
  private static let resolverFiles = [
    "/etc/resolv.conf", "/run/systemd/resolve", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf",
    "/etc/services",
  ]

  /// `resolverFiles`, and the files that OpenSSL needs to check certificates.
  private static let networkFiles = resolverFiles + ["/etc/ssl", "/usr/share/ca-certificates"]

  /// The folders of a file and of its symbolic link's target, because another file may be renamed into place there. A
  /// file in `/` is listed itself: its folder would be the whole file system.
  private static func folders(of file: String) -> [String] {
    [file, Files.resolved(file)].map { path in
      let folder = Files.folder(of: path)
      return folder == "/" ? path : folder
    }
  }
}

extension Server {
  /// Whether the server sends HTTP requests: to the webhook or to `auth.hook`.
  var usesWebClient: Bool { !settings.events.webhook.isEmpty || !settings.auth.hook.isEmpty }

  /// Limits the main thread to the files of a running server, before it starts a thread that uses them.
  func confineFiles() {
    let stores = ([settings.auth.store] + settings.realms.values.map(\.store)).compactMap {
      StorePath.path(of: $0, in: stateDirectory.path).map(Files.folder(of:))
    }
    host.confinement?.confineFiles(
      reading: settings.tls.files,
      writing: Array(Set(stores + [stateDirectory.path].compactMap(\.self))), resolvesNames: usesWebClient,
      sockets: settings.admin.listen.unixSocket.map { [Files.folder(of: $0)] } ?? [])
  }
}
