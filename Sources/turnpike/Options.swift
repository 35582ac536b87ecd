internal import CommandLine

extension Command {
  private static let all = Set(Command.allCases)

  /// Every option of turnpike.
  static let table = OptionTable<Command>([
    .init(
      "Options of every command",
      [
        Option(
          "--config", .file, for: all,
          help: "the configuration; default: \(Invocation.standardPath), if that file exists",
          manual: """
            the configuration, YAML; without it `\(Invocation.standardPath)` is read if it exists.
            """),
        Option(
          "--set", .listed("KEY=VALUE", candidates: keys), for: all,
          help: "overrides a key; may be repeated: --set log.level=debug",
          manual: "overrides a key; may be repeated.", isRepeatable: true),
        Option(
          "--help", shortForms: ["-h"], for: all, help: "help", manual: "print help.", excludes: ["-"],
          isRepeatable: true),
        Option(
          "--version", shortForms: ["-v", "-V"], for: all, help: "the version", manual: "print the version.",
          excludes: ["-"], isRepeatable: true),
      ]),
    .init(
      "Options of some commands",
      [
        Option(
          "--coturn", .file, for: [.serve, .check],
          help: "coturn's turnserver.conf in place of a configuration",
          manual: "a turnserver.conf of coturn in place of a configuration; see import.", excludes: ["--config"]),
        Option(
          "--show-secrets", for: [.check], help: "print secrets too, so that the output is a complete configuration",
          manual: "print secrets in place of `<redacted>`, so that the output is a complete configuration."),
        Option(
          "--json", for: [.doctor, .status, .sessions, .kick, .ban, .drain, .reload, .upgrade],
          help: "one JSON document",
          manual: """
            print one JSON document; for doctor `verdict`, and `findings` with `area`, `verdict`, `text` and `remedy`.
            """),
        Option(
          "--userdb", .file, for: [.import], help: "coturn's SQLite database: users and secrets go to the store",
          manual: "coturn's user database (SQLite): its users and secrets are stored in the configured store."),
        Option(
          "--realm", .text("REALM"), for: [.user, .secret, .credentials, .oauthToken],
          help: "another realm than the configured one", manual: "another realm than the configured one."),
        Option(
          "--password-stdin", for: [.user],
          help:
            "read the password from standard input; without it one is made and printed once, alone, on standard output",
          manual: "read the password from standard input."),
        Option(
          "--secret-stdin", for: [.secret],
          help:
            "read the secret from standard input; without it one is made and printed once, alone, on standard output",
          manual: "read the secret from standard input."),
        Option(
          "--close", for: [.user, .secret, .ban],
          help: "let the running server also close the live allocations",
          manual: """
            with remove let the running server close the live allocations of the removed user, or of the names that no
            present secret has signed; with ban add those of the banned clients.
            """),
        Option(
          "--reason", .text("TEXT"), for: [.ban], help: "a text that ban list shows",
          manual: "a text that ban list shows."),
        Option(
          "--user", .text("ID"), for: [.credentials, .sessions, .capture],
          help: "the user of the credential; quotas count by it",
          manual:
            "the user of the credential, by which quotas count; or the user whose sessions are listed or messages captured."
        ),
        Option(
          "--ttl", .text("SECONDS"), for: [.credentials, .oauthToken, .ban],
          help: "how long the credential, token or ban is valid",
          manual: """
            how long an allocation can be made with the credential: 86400 by default, 3600 for tokens; or how long a ban lasts,
            by default until it is removed or the server restarts.
            """),
        Option(
          "--kid", .text("ID"), for: [.oauthToken], help: "the key that seals the token; the first one by default",
          manual: "the key that seals the token; the first one by default."),
        Option(
          "--client", .text("ADDRESS"), for: [.sessions], help: "only sessions of this client's IP address",
          manual: "only the sessions of this client's IP address."),
        Option(
          "--transport", .choice(["udp", "tcp", "tls", "dtls"]), for: [.sessions],
          help: "only sessions over this transport", manual: "only the sessions over this transport."),
        Option(
          "--seconds", .text("NUMBER"), for: [.capture], help: "the length of the capture, 1 to 600 (default 60)",
          manual: "the length of the capture, 1 to 600; 60 by default."),
        Option(
          "--output", .file, for: [.capture], help: "the file; standard output without it",
          manual: "the file of the capture, which only its owner can read; standard output without it."),
        Option(
          "--lan", for: [.demo], help: "serve other devices too: HTTPS on every IPv4 address, with a random token",
          manual: """
            serve the demo page to other devices too: over HTTPS on every IPv4 address, port 8478, with a random
            `admin.token` of this start.
            """),
        Option(
          "--admin", .text("URL"),
          for: [.user, .secret, .status, .sessions, .kick, .ban, .drain, .reload, .upgrade, .capture],
          help: "the server's admin endpoint: http://IP:PORT or unix:/PATH",
          manual: """
            the admin endpoint of the server, `http://IP:PORT`, `https://NAME:PORT` or `unix:/PATH`; without it
            `admin.listen` of the configuration. The token is `admin.token`, also as `TURNPIKE_ADMIN_TOKEN`.
            """),
      ]),
  ])

  /// Prints `KEY=` for each key of this version.
  private static let keys =
    #"turnpike help configuration 2>/dev/null | sed -n "s/^\([a-z][a-z0-9.-]*\): .*/\1=/p""#

  static let program = Program(
    name: "turnpike",
    commands: [
      .init("serve", .serve, "run the server (the default command)"),
      .init("check", .check, "validate and print the effective configuration"),
      .init("doctor", .doctor, "examine this host: limits, clock, addresses, ports, kernel"),
      .init(
        "user", .user, "manage users in the credential store", operands: .words(["add", "list", "remove", "passwd"])),
      .init(
        "secret", .secret, "manage secrets of time-limited credentials", operands: .words(["add", "list", "remove"])),
      .init("credentials", .credentials, "print iceServers JSON, time-limited"),
      .init("import", .import, "translate a turnserver.conf", operands: .words(["coturn"])),
      .init("oauth-token", .oauthToken, "print an access token, for tests"),
      .init("status", .status, "show the state of the running server"),
      .init("sessions", .sessions, "list the live allocations of the running server"),
      .init("kick", .kick, "end a live allocation"),
      .init("ban", .ban, "ban client addresses on the running server", operands: .words(["add", "list", "remove"])),
      .init("capture", .capture, "capture the STUN messages of a user, without secrets"),
      .init("drain", .drain, "let the running server end with its last allocation"),
      .init("reload", .reload, "let the running server read its configuration again"),
      .init("upgrade", .upgrade, "let the running server hand over to a new process of its program"),
      .init("demo", .demo, "run the server with a page of test calls"),
      .init("version", .version, "print the version"),
      .init(
        "help", .help, "the options of a command",
        operands: .words([
          "serve", "check", "doctor", "user", "secret", "credentials", "import", "oauth-token", "status", "sessions",
          "kick", "ban", "capture", "drain", "reload", "upgrade", "demo", "version", "configuration", "turnpike.yml",
        ])),
    ], standardCommands: [.serve], table: table)
}
