internal import CommandLine

extension Command {
  /// The output of `turnpike help COMMAND`; each text fits a screen of 24 lines and 80 columns.
  var help: String {
    var text = HelpPage(Self.table, [.text(about)] + rows).text
    text.removeLast()
    return text
  }

  /// The output of `turnpike help`.
  static var overview: String { Command.help.help }

  /// The command's own options, from the table.
  private var rows: [HelpPage<Command>.Part] {
    switch self {
    case .user, .secret, .credentials, .oauthToken, .status, .sessions, .kick, .ban, .drain, .reload, .upgrade,
      .capture, .demo:
      [.text("")]
        + Self.table.sections[1].options.filter { $0.commands.contains(self) }.map { .row([$0.name], helpText($0)) }
        + [.text(note)]
    case .help:
      [.row(["--config"], nil), .row(["--set"], nil)]
        + [
          .text(
            """
            A key can also be an environment variable: TURNPIKE_LOG_LEVEL=debug.
            Exit status: 0 good, 64 wrong usage, 78 wrong configuration, 1 anything else.
            """)
        ]
    default: []
    }
  }

  /// The help of an option whose meaning for this command differs from the table.
  private func helpText(_ option: Option<Command>) -> String? {
    switch (self, option.name) {
    case (.credentials, "--ttl"): "how long an allocation can be made with it (default 86400)"
    case (.oauthToken, "--ttl"): "how long the token is valid (default 3600)"
    case (.ban, "--ttl"): "the seconds after which the ban ends (default: never)"
    case (.ban, "--close"): "with add: close the live allocations of these clients"
    case (.sessions, "--user"): "only sessions of this user"
    case (.capture, "--user"): "the user whose messages are captured"
    case (.oauthToken, "--realm"): "the server name of the token (default: the realm)"
    default: nil
    }
  }

  /// The text below the options.
  private var note: String {
    switch self {
    case .user:
      """

      The store keeps keys, not passwords: a lost password can only be replaced with
      passwd. `user list` prints name, realm and creation time, separated by tabs.
      Write -- before a NAME that begins with a dash.
      """
    case .secret:
      """

      `secret list` prints id, realm and creation time, separated by tabs, and not
      the secrets.
      """
    case .demo:
      """

      Browsers allow camera and microphone only on this computer and over HTTPS, so
      other devices need --lan; they show a warning about the self-signed certificate
      once, unless tls.certificate names a real one.
      """
    default: ""
    }
  }

  private static let overviewText = """
    turnpike - a STUN and TURN server

    turnpike [serve]                 run the server (the default command)
    turnpike check                   validate and print the effective configuration
    turnpike doctor                  examine this host: limits, clock, ports, kernel
    turnpike user add NAME           manage users in the credential store
    turnpike user list | remove NAME | passwd NAME
    turnpike secret add | list | remove ID
                                     manage secrets of time-limited credentials
    turnpike credentials             print iceServers JSON, time-limited
    turnpike import coturn FILE      translate a turnserver.conf
    turnpike oauth-token             print an access token, for tests
    turnpike status | sessions | capture | kick ID | drain | reload | upgrade
    turnpike ban add ADDRESS | list | remove ADDRESS       clients to ignore
    turnpike help [COMMAND] | version   or: turnpike help configuration (every key)
    turnpike demo [--lan]            run the server with a page of test calls

    Every command takes
    """

  // This is longer than 40 lines, because it is a table with one text for each command.
  private var about: String {
    switch self {
    case .help: Self.overviewText
    case .serve:
      """
      turnpike [serve] [--config FILE | --coturn FILE] [--set KEY=VALUE]...

      Runs the server until SIGTERM or SIGINT (Ctrl-C): it then refuses new
      allocations and waits for the live ones; a second signal stops it at once.
      SIGHUP reads the configuration again. The server logs to standard error, and
      logs "ready" when every listener is bound. Without any configuration it makes
      a user and prints iceServers JSON to paste into a page on standard output.
      --coturn takes coturn's turnserver.conf instead, see: turnpike help import
      """
    case .check:
      """
      turnpike check [--config FILE | --coturn FILE] [--set KEY=VALUE]...
                     [--show-secrets]

      Validates the configuration and prints the effective one: defaults, file,
      environment and --set together. Exit status 78 if it is wrong; every error
      names file, line and key. "check FILE" is the same as "check --config FILE";
      the file - is standard input.

      The output is a configuration with the same effect. A secret that is given as
      file:PATH or env:NAME is printed in that form. Any other is <redacted>, which
      the server refuses: --show-secrets prints the secret.
      """
    case .doctor:
      """
      turnpike doctor [--config FILE] [--set KEY=VALUE]... [--json]

      Examines this host for the server: limits, clock, addresses, certificates,
      ports, kernel and store. Each finding that is not good has a remedy. It changes
      nothing, and may run beside the server. Exit status: 0 good, 1 a warning,
      2 something failed.
      """
    case .user:
      """
      turnpike user add NAME [--realm REALM] [--password-stdin]
      turnpike user passwd NAME [--realm REALM] [--password-stdin]
      turnpike user remove NAME [--realm REALM] [--close]
      turnpike user list [--realm REALM]

      Manages long-term credentials in the configured store, also while the server
      runs: it sees a change within a second.
      """
    case .secret:
      """
      turnpike secret add [--realm REALM] [--secret-stdin]
      turnpike secret list [--realm REALM]
      turnpike secret remove ID [--realm REALM] [--close]

      Manages the shared secrets of time-limited credentials in the configured
      store. With several, each is valid: add the new one, switch the users over,
      remove the old one.
      """
    case .credentials:
      """
      turnpike credentials [--user ID] [--ttl SECONDS] [--realm REALM]

      Prints iceServers JSON for new RTCPeerConnection(...) with a time-limited
      credential, made from the first of auth.secrets, else from the first secret
      of the store.
      """
    case .oauthToken:
      """
      turnpike oauth-token [--kid ID] [--ttl SECONDS] [--realm REALM]

      Prints an access token (RFC 7635) as an authorization server would hand it
      out, sealed with a key of auth.oauth-keys: JSON with kid, access_token,
      mac_key (both Base64), lifetime and server_name. For tests.
      """
    case .import:
      """
      turnpike import coturn FILE [--userdb FILE]

      Translates coturn's turnserver.conf: prints the configuration in our YAML, with
      its secrets, on standard output, and on standard error a warning for each
      option that has no equivalent and a note for each that is not needed.

      --userdb names coturn's SQLite database (/var/lib/turn/turndb). Its users and
      secrets go to the store of --config; its peers and keys of access tokens go to
      the printed configuration.

        turnpike import coturn /etc/turnserver.conf > /etc/turnpike/turnpike.yml

      "turnpike serve --coturn FILE" runs the server straight from such a file.
      """
    case .version: "turnpike version\n\nPrints the version."
    case .status:
      """
      turnpike status [--json] [--admin URL]

      Shows the state of the running server: version, allocations, traffic,
      listeners, certificate, stores. It asks the admin endpoint (admin.listen,
      admin.token), as sessions, kick, drain and reload do. Exit status 1 if no
      server answers.
      """
    case .sessions:
      """
      turnpike sessions [--user ID] [--client ADDRESS] [--transport NAME] [--json]

      Lists the live allocations of the running server: aligned on a terminal,
      separated by tabs elsewhere. For a time-limited name the part after the colon
      is enough for --user. LOSS is the part of the RTP packets that were lost before
      the relay, from the client and from peers; RTT is an upper limit of the
      client's round trip.
      """
    case .kick:
      """
      turnpike kick ID [--json] [--admin URL]

      Ends one live allocation of the running server; the ID is the first column of
      turnpike sessions. The client may allocate again: revoke its credentials too.
      """
    case .ban:
      """
      turnpike ban add ADDRESS [--ttl SECONDS] [--reason TEXT] [--close]
      turnpike ban list [--json]
      turnpike ban remove ADDRESS

      Lets the running server ignore an IP address or a prefix (192.0.2.0/24): no
      answers, no connections. Without --close live allocations go on, and their
      clients may refresh them. A restart forgets the bans.
      """
    case .drain:
      """
      turnpike drain [--json] [--admin URL]

      Lets the running server refuse new allocations. It ends with the last one, or
      after drain-timeout; SIGTERM does the same.
      """
    case .reload:
      """
      turnpike reload [--json] [--admin URL]

      Lets the running server read its configuration, certificates and secrets again
      and waits for the outcome: exit status 1 if the configuration is wrong. SIGHUP
      does the same without waiting.
      """
    case .capture:
      """
      turnpike capture --user ID [--seconds NUMBER] [--output FILE] [--admin URL]

      Captures the STUN messages between the running server and one user's clients
      as pcapng, for stunclient decode, tshark and Wireshark: without secrets, media
      and data. Ctrl-C ends it early.
      """
    case .demo:
      """
      turnpike demo [--lan] [--config FILE] [--set KEY=VALUE]...

      Runs the server with the demo page, and prints the link of a room: a check of
      this server in your browser, calls, a live page, chat, files, recording.
      Everyone who has the link may call through this server until it ends. The
      command is "turnpike serve" with admin.demo=true, and ends with Ctrl-C.
      """
    case .upgrade:
      """
      turnpike upgrade [--json] [--admin URL]

      Lets the running server start its program once more, after the package or the
      image has been replaced, and hand everything over to it: listeners, relays, live
      allocations, TCP connections. Media goes on; TLS and DTLS clients stay with the
      older process until they end. Prints what was handed over. Exit status 1 if the
      new process does not come up: then the older one goes on. SIGUSR2 does the same
      without waiting.
      """
    }
  }
}
