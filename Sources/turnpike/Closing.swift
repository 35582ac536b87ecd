internal import JSON

/// The running server of a command with `--close`, found before anything is changed; nil without the option.
func serverThatCloses(_ invocation: Invocation) throws(Failure) -> AdminClient? {
  if invocation.arguments.has("--close") { return try AdminClient(invocation) }
  guard !invocation.arguments.has("--admin") else {
    throw .usage(
      "--admin is for --close: without --close only the store is changed",
      hint: "try: turnpike help \(invocation.command.rawValue)")
  }
  return nil
}

/// Refuses the options of `--close` for a subcommand that closes nothing.
func refuseClosing(in command: String, _ invocation: Invocation) throws(Failure) {
  try refuse("--close", in: command, invocation)
  try refuse("--admin", in: command, invocation)
}

extension AdminClient {
  /// Closes the live allocations that the query selects, and says how many there were.
  func closeSessions(_ query: String) throws(Failure) {
    tellClosed(try ask("DELETE", "/api/v1/sessions?\(query)"))
  }
}

/// Says how many allocations the server has closed.
func tellClosed(_ answer: JSONValue?) {
  let count = answer?["closed"]?.integer ?? 0
  tell("closed \(count) live \(count == 1 ? "allocation" : "allocations")")
}
