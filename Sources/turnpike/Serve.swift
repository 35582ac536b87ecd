internal import CommandLine
internal import Configuration
internal import Log
internal import NetworkTypes
internal import System
internal import TurnpikeServer

/// Runs `turnpike [serve]`, or `turnpike demo`, which adds the demo page.
func runServer(_ invocation: Invocation) throws(Failure) -> Int32 {
  // The starter is made first, so that it has no thread, no secret and no file of this process.
  let predecessor = HandoverConnection.inherited()
  let starter = try? Starter(closing: predecessor?.rawValue ?? -1)
  var files: [String] = []
  let configuration: Configuration
  do throws(Failure) {
    _ = try invocation.operands()
    configuration = try invocation.configurationOfThisHost { path throws(FileError) in
      files.append(path)
      return try Files.read(path)
    }
  } catch {
    predecessor?.refuse(error.problems.joined(separator: "; "))
    throw error
  }
  let confinement = Confinement(configuration.settings.hardening, configurationFiles: files)
  let (log, lines) = try startLog(configuration.settings, confinement)
  defer { lines.finish() }
  for warning in configuration.warnings { log.warning("configuration", ("problem", "\(warning)")) }
  let output = try startOutput(log, confinement)
  defer { output.finish() }
  var host = ServerHost(
    isWatched: StandardStreams.isErrorTerminal, version: version, confinement: confinement,
    show: { made in
      let lines = StandardStreams.isOutputTerminal ? explained(made) : made.json
      _ = output.write(lines + "\n")
    },
    reload: { running, read in reloadConfiguration(invocation, running, read, log) })
  if invocation.command == .demo {
    // The link is the only line on standard output.
    host.show = { _ in }
    host.showDemo = { link in
      _ = output.write((StandardStreams.isOutputTerminal ? explained(link) : link) + "\n")
    }
  }
  host.allowUpgrades(starter, from: predecessor)
  let outcome = Server.run(configuration, host: host, log: log)
  switch outcome {
  case .stopped, .succeeded: break
  case .failed(let problem): log.error("failed", ("problem", .text(problem)))
  case .misconfigured(let problem): log.error("misconfigured", ("problem", .text(problem)))
  }
  return outcome.status
}

/// The JSON with an explanation for people, for a terminal. A pipe gets the JSON alone.
private func explained(_ made: IceServers) -> String {
  let url = made.urls.first { $0.hasPrefix("turn:") } ?? "turn:localhost"
  return """

    Paste this into your page, as the argument of new RTCPeerConnection(...):

    \(made.json)

    Try it: STUNCLIENT_USERNAME=\(made.username) STUNCLIENT_PASSWORD=\(made.credential) \(besideThisProgram("stunclient")) '\(url)'

    """
}

/// The link of the demo page with an explanation, for a terminal.
private func explained(_ link: String) -> String {
  """

    Open this in your browser:

      \(link)

    Everyone who has the link can call through this server until it ends (Ctrl-C).
    For a phone or another computer: turnpike demo --lan

  """
}

/// The word that starts another program of the same folder: a path if this program was started by a path, else the
/// name.
private func besideThisProgram(_ name: String) -> String {
  guard let own = CommandLine.arguments.first, let slash = own.lastIndex(of: "/") else { return name }
  return own[...slash] + name
}

/// Reads the configuration again for a reload, with the rules of a running server; nil if it is wrong.
private func reloadConfiguration(
  _ invocation: Invocation, _ running: Settings, _ read: FileContent, _ log: Log
) -> Configuration? {
  var isRefused = false
  do throws(Failure) {
    let configuration = try invocation.configuration(
      read: { path throws(FileError) in
        do throws(FileError) { return try read(path) } catch {
          isRefused = isRefused || error == .system(.permissionDenied)
          throw error
        }
      },
      rules: { fresh in
        ConfigurationRules.reloadProblems(
          fresh, running: running, environment: Environment.variables(), read: read)
      })
    for warning in configuration.warnings { log.warning("configuration", ("problem", "\(warning)")) }
    return configuration
  } catch {
    for problem in error.problems { log.error("configuration-refused", ("problem", .text(problem))) }
    if isRefused, running.hardening.landlock {
      log.info(
        "files-fenced",
        (
          "effect",
          "Landlock may be the reason: it allows only folders that had files of the configuration at the start"
        ),
        ("remedy", "check the file's owner and mode, then restart the server, or set hardening.landlock: false"))
    }
    return nil
  }
}

/// Starts the log and the writer of its lines; the caller finishes the writer at the end.
private func startLog(_ settings: Settings, _ confinement: Confinement) throws(Failure) -> (Log, LineWriter) {
  do throws(Errno) {
    let lines = try LineWriter(descriptor: 2)
    let log = Log(
      level: settings.log.level, format: settings.log.format, privacy: settings.log.privacy,
      clock: { Now.read().wall },
      sink: { lines.write($0) })
    // The log reports a failed write after a later write succeeds.
    try lines.start(
      atStart: confinement.confineWriter, caughtUp: { log.logDroppedLines() }, failed: { log.countDroppedLines($1) })
    return (log, lines)
  } catch {
    throw .failed("cannot start the thread that writes the log: \(error)")
  }
}

/// Starts standard output on its own thread: the main thread reads signals, and a stopped reader of the output must not
/// block it.
private func startOutput(_ log: Log, _ confinement: Confinement) throws(Failure) -> LineWriter {
  do throws(Errno) {
    let lines = try LineWriter(descriptor: 1)
    try lines.start(
      atStart: confinement.confineWriter, failed: { error, _ in log.error("standard-output", ("error", "\(error)")) })
    return lines
  } catch {
    throw .failed("cannot start the thread that writes standard output: \(error)")
  }
}
