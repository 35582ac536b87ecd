// A TURN server inside a program: embedded-server ADDRESS:PORT USER PASSWORD. Ctrl-C or SIGTERM ends it.
import Configuration
import Log
import NetworkTypes
import System
import TurnpikeServer

guard CommandLine.arguments.count == 4 else {
  StandardStreams.writeError("usage: embedded-server ADDRESS:PORT USER PASSWORD\n")
  Environment.exit(64)
}
let (address, user, password) = (CommandLine.arguments[1], CommandLine.arguments[2], CommandLine.arguments[3])

// Overrides are keys of `turnpike help configuration`. A file and environment variables are read if they are passed.
let configuration = try ConfigurationReader(environment: [:], readFile: { try Files.readRegular($0) }).read(
  file: nil, overrides: ["listeners=udp://\(address),tcp://\(address)", "auth.users=\(user)=\(password)"])
let log = Log(level: .info, format: .text, clock: { Now.read().wall }) { line in
  StandardStreams.writeError(line)
  return true
}
// The server runs on its own threads, one for each core. This thread waits for signals.
let host = ServerHost(isWatched: true, show: { print($0.json) }, reload: { _, _ in nil })
guard Server.run(configuration, host: host, log: log) == .stopped else { Environment.exit(1) }
