internal import Configuration
internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import TurnpikeServer

/// `turnpike [serve]`.
func runServer(_ invocation: Invocation) throws(Failure) -> Int32 {
  _ = try invocation.operands()
  let configuration = try invocation.configuration()
  let log = makeLog(configuration.settings)
  for warning in configuration.warnings { log.warning("configuration", ("problem", "\(warning)")) }
  return runServer(settings: configuration.settings, log: log) {
    do throws(Failure) {
      let configuration = try invocation.configuration()
      for warning in configuration.warnings { log.warning("configuration", ("problem", "\(warning)")) }
      return configuration.settings
    } catch {
      log.error("configuration-refused", ("problem", error.text))
      return nil
    }
  }
}

private func runServer(settings: Settings, log: Log, reload: @escaping () -> Settings?) -> Int32 {
  let host = ServerHost(
    printLine: { line in
      do throws(Failure) {
        try print(line)
      } catch {
        log.error("standard-output", ("problem", error.text))
      }
    }, reload: reload)
  switch Server.run(settings, host: host, log: log) {
  case .stopped:
    return 0
  case .failed(let problem):
    log.error("failed", ("problem", problem))
    return 1
  case .misconfigured(let problem):
    log.error("misconfigured", ("problem", problem))
    return 78
  }
}

private func makeLog(_ settings: Settings) -> Log {
  let level: Log.Level =
    switch settings.log.level {
    case .debug: .debug
    case .info: .info
    case .warning: .warning
    case .error: .error
    }
  return Log(
    level: level, format: settings.log.format == .json ? .json : .text, clock: { Now.read().wallSeconds },
    sink: { StandardStreams.writeError($0) })
}
