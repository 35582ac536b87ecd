internal import Probe
internal import CommandLine

extension Arguments {
  private static let servers: Set<Command> = [.binding, .relay, .nat, .ping, .security]
  private static let series: Set<Command> = [.binding, .relay, .ping]
  private static let everywhere = Set(Command.allCases)

  /// Every option of stunclient.
  static let table = OptionTable<Command>(
    environmentPrefix: "STUNCLIENT",
    [
      .init("Server and transport", serverOptions), .init("Credentials", credentialOptions),
      .init("TLS", ClientOptions.trust(for: servers) + [minimumDays]), .init("Amounts and thresholds", amountOptions),
      .init("Output", outputOptions),
    ])

  static let program = Program(
    name: "stunclient",
    commands: [
      .init("binding", .binding, "our address as the server sees it"),
      .init("relay", .relay, "a TURN relay, step by step, timed"),
      .init("nat", .nat, "how the NAT before us behaves"),
      .init("ping", .ping, "round trips, jitter and loss, until Ctrl-C"),
      .init("security", .security, "what a server of yours lets through"),
      .init("decode", .decode, "explain STUN bytes", operands: .files),
      .init("credentials", .credentials, "time-limited credentials for a page"),
      .init(
        "help", .help, "the options of a command",
        operands: .words(["binding", "relay", "nat", "ping", "security", "decode", "credentials"])),
    ], targets: ["stun:", "stuns:", "turn:", "turns:"], standardCommands: [.binding, .relay], table: table)

  private static let serverOptions: [Option<Command>] = [
    Option(
      "-4", for: servers, help: "only IPv4 addresses of the server", slips: ["--ipv4"], excludes: ["-6", "--family"]),
    Option(
      "-6", for: servers, help: "only IPv6 addresses of the server", slips: ["--ipv6"], excludes: ["-4", "--family"]),
    Option(
      "--family", .choice(["4", "6"]), for: servers, help: "only such addresses of the server",
      manual: """
        only addresses of this family.
        Without it `binding`, `relay`, `nat` and `security` check both families if the server has both, and fail if one
        of them fails; `ping` takes the first address that answers.
        """, excludes: ["-4", "-6"]),
    Option("--udp", for: servers, help: "over UDP"),
    Option("--tcp", for: servers, help: "over TCP", slips: ["-t"]),
    Option("--tls", for: servers, help: "over TLS", slips: ["-S"]),
    Option("--dtls", for: servers, help: "over DTLS"),
    Option(
      "--protocol", .choice(["udp", "tcp", "tls", "dtls"]), for: servers, help: "the transport; overrides TARGET",
      manual: "the transport, whatever the target says.", slips: ["--transport", "--proto"]),
    Option(
      "--localaddr", .text("ADDRESS"), for: servers, help: "bind this address, or that of an interface",
      manual: "bind this address, or that of an interface."),
    Option(
      "--localport", .whole("PORT", 0...65_535), for: servers, help: "bind this port", manual: "bind this port."),
    Option(
      "--timeout", .time(.seconds, in: .milliseconds(10)...(.seconds(3600))), for: servers, standard: "10",
      help: "limit for a connection or an answer", manual: "limit for a connection or an answer; 10 by default.",
      slips: ["-W", "--wait"]),
    Option(
      "--dns-server", .text("IP[:PORT]"), for: servers, help: "ask this name server",
      manual: "ask this name server, for addresses too."),
    Option(
      "--trace", for: servers, help: "show how the name was resolved", manual: "show how the name was resolved."),
    Option(
      "--ice-servers", .file, for: [.binding, .relay], help: "test every URL of an RTCConfiguration JSON",
      manual: """
        test every URL of an RTCConfiguration JSON (or a bare array of its servers; `-` is standard input) at the same \
        time.
        The exit status is the worst one.
        """),
    Option(
      "--mode", .choice(["basic", "behavior", "filtering", "full"]), for: servers,
      help: "behave like stuntman's client",
      manual: "behave like stuntman's client, and print only its lines."),
    Option(
      "--verbosity", .whole("N", 0...9), for: servers, help: "accepted for compatibility with stuntman; no effect",
      manual: "0 to 9: accepted for compatibility with stuntman's client; has no effect."),
  ]

  private static let credentialOptions: [Option<Command>] = [
    ClientOptions.username(
      "STUNCLIENT", for: servers.union([.credentials, .decode]),
      manual: "the user; with a secret, the user that the credential is made for."),
    ClientOptions.passwordFile(
      "STUNCLIENT", for: servers.union([.decode]),
      manual: """
        the password; `-` is standard input.
        Without a password, and if standard input is a terminal, the program asks for it there and does not show it.
        """),
    ClientOptions.secretFile(
      "STUNCLIENT", for: servers.union([.credentials, .decode]),
      manual: "the shared secret of time-limited credentials (TURN REST API)."),
    ClientOptions.tokenFile(
      for: servers,
      manual: """
        an access token (RFC 7635): JSON with `kid`, `access_token` and `mac_key`, as `turnpike(1)` prints it with
        `oauth-token`.
        """),
    Option("--second-username", .text("NAME"), for: [.security], help: "security: another user of the server"),
    Option(
      "--second-password-file", .file, for: [.security], help: "security: the other user's password",
      manual: """
        `security`: another user of the server, whose requests for the first one's allocation must fail.
        With a shared secret the program makes that user itself.
        """),
    Option(
      "--ttl", .whole("SECONDS", 1...31_622_400), for: [.credentials], standard: "86400",
      help: "how long the credentials are valid", manual: "how long `credentials` are valid; 86400 by default."),
  ]

  // Only these commands report the certificate.
  private static let minimumDays = Option<Command>(
    "--min-days", .whole("N", 0...100_000), for: series, help: "warn if the certificate ends within N days",
    manual: "warn if the certificate ends within n days.")

  private static let amountOptions: [Option<Command>] = [
    Option(
      "--count", .whole("N", 1...1_000_000_000), for: series, help: "send N requests",
      manual: """
        send n requests; for `relay`, n numbered packets through the channel.
        An interrupt ends the series early; the result so far is still printed.
        """, slips: ["-c", "-n"]),
    Option(
      "--interval", .time(.seconds, in: .milliseconds(1)...(.seconds(3600))), for: series,
      help: "time between two requests",
      manual: "time between two requests: 1 by default, for `relay` 0.02.", slips: ["-i"]),
    Option(
      "--warn-rtt", .time(.milliseconds, in: .zero...(.seconds(1000))), for: series,
      help: "warn if the median round trip is longer",
      manual: "milliseconds: warn if the median round trip (or the echo through the relay) is longer."),
    Option(
      "--warn-loss", .percent(decimals: 1), for: series, help: "warn if the loss is above this percentage",
      manual: "warn if the loss is above this percentage."),
    Option(
      "--relay-family", .choice(["4", "6"]), for: [.relay], help: "family of the relayed address",
      manual: "the family of the relayed address."),
    Option(
      "--lifetime", .whole("SECONDS", 2...7200), for: [.nat], help: "nat: measure how long a binding lives",
      manual: """
        `nat`: measure how long a binding without traffic lives, up to this many seconds; the measurement takes as long.
        """),
    ClientOptions.owner(
      for: [.security], manual: "`security`: needed for addresses that are neither loopback nor private."),
  ]

  private static let outputOptions: [Option<Command>] =
    [
      Option("--json", for: servers.union([.decode]), help: "one JSON document", manual: "one JSON document."),
      Option(
        "--ndjson", for: servers.union([.decode]), help: "one JSON document a line",
        manual: """
          one JSON document a line, the result last.
          Answers of `binding` and `ping` and results of `--ice-servers` are written as they come; steps, tests and
          findings at the end.
          """),
      Option(
        "--check", for: servers, help: "one line for monitoring",
        manual: "one line for monitoring systems, with performance data."),
      Option(
        "--prometheus", .file, for: servers, help: "also write a file for Prometheus",
        manual: "also write the result for the textfile collector of Prometheus, atomically."),
    ] + ClientOptions.standard(for: everywhere)
}
