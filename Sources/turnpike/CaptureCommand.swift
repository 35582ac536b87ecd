internal import CommandLine
internal import JSON
internal import NetIO
internal import NetworkTypes
internal import System

/// `turnpike capture`: the STUN messages of one user, as pcapng.
func captureMessages(_ invocation: Invocation) throws(Failure) -> Int32 {
  _ = try invocation.operands()
  guard let user = invocation.arguments["--user"], !user.isEmpty else {
    throw .usage("capture needs --user ID", hint: "try: turnpike help capture")
  }
  guard let seconds = UInt32(decimalDigits: invocation.arguments["--seconds"] ?? "60"), (1...600).contains(seconds)
  else {
    throw .usage("--seconds takes a whole number from 1 to 600", hint: "write, for example, --seconds 60")
  }
  let output = invocation.arguments["--output"]
  guard output != nil || !StandardStreams.isOutputTerminal else {
    throw .usage("a capture is not for a terminal", hint: "write --output FILE")
  }
  let client = try AdminClient(invocation)
  // From here on a signal ends the capture early, and its messages are written.
  FirstSignal.catchIt()
  let started = try client.ask("POST", "/api/v1/captures?user=\(percentEncoded(user))&seconds=\(seconds)")
  guard let id = started?["id"]?.string.map(percentEncoded) else { throw .failed("the server gives no id") }
  wait(.seconds(seconds))
  let ended = try client.ask("DELETE", "/api/v1/captures/\(id)")
  try write(try client.fetch("/api/v1/captures/\(id)", limit: 8 << 20), to: output)
  let leftOut = ended?["left-out"]?.integer ?? 0
  tell(
    "captured \(ended?["messages"]?.integer ?? 0) messages"
      + (leftOut > 0 ? ", and left out \(leftOut)" : ""))
  return 0
}

/// Waits for the end of the capture, or for a signal.
private func wait(_ time: Duration) {
  let end = Instant.read().advanced(by: time)
  while Instant.read() < end, !FirstSignal.hasCome {
    Readiness.sleep(until: min(end, Instant.read().advanced(by: .milliseconds(100))))
  }
}

private func write(_ bytes: [UInt8], to path: String?) throws(Failure) {
  guard let path else {
    do throws(Errno) { try StandardStreams.write(bytes) } catch { throw .failed("standard output: \(error)") }
    return
  }
  do throws(FileError) { try Files.writeAtomically(bytes, to: path) } catch { throw .failed("\(path): \(error)") }
}
