/// Which option is for which commands: what the parser, the help, the manual and the shell completions agree on.
enum OptionTable {
  typealias Command = Arguments.Command

  static let options: [String: Set<Command>] = {
    var table: [String: Set<Command>] = [:]
    func add(_ names: [String], _ commands: Set<Command>) { for name in names { table[name] = commands } }
    let servers: Set<Command> = [.binding, .relay, .nat, .ping, .security]
    add(
      ["-4", "-6", "--family", "--udp", "--tcp", "--tls", "--dtls", "--protocol", "--localaddr", "--localport"],
      servers)
    add(["--timeout", "--dns-server", "--trace", "--ca", "--insecure", "--verbosity"], servers)
    // The others report no certificate.
    add(["--min-days"], [.binding, .relay, .ping])
    add(["--check", "--prometheus"], servers)
    add(["--json", "--ndjson"], servers.union([.decode]))
    add(["--count", "--interval", "--warn-rtt", "--warn-loss"], [.binding, .relay, .ping])
    add(["--ice-servers"], [.binding, .relay])
    add(["--relay-family"], [.relay])
    add(["--oauth-token-file"], [.binding, .relay, .nat, .ping, .security])
    add(["--username", "--secret-file"], servers.union([.credentials, .decode]))
    add(["--password-file"], servers.union([.decode]))
    add(["--mode"], servers)
    add(["--lifetime"], [.nat])
    add(["--ttl"], [.credentials])
    add(["--i-own-this-server", "--second-username", "--second-password-file"], [.security])
    return table
  }()
}
