internal import Configuration

extension Command {
  /// What `turnpike help` prints; each text fits a screen of 24 lines and 80 columns.
  static let overview = """
    turnpike - a STUN and TURN server

    turnpike [serve]                 run the server (the default command)
    turnpike check                   validate and print the effective configuration
    turnpike user add NAME           manage users in the credential store
    turnpike user list | remove NAME | passwd NAME
    turnpike secret add | list | remove ID
                                     manage secrets of time-limited credentials
    turnpike credentials             print iceServers JSON, time-limited
    turnpike oauth-token             print an access token, for tests
    turnpike version
    turnpike help [COMMAND]          or: turnpike help configuration (every key)

    Every command takes
      --config FILE       the configuration; without it /etc/turnpike/turnpike.yml
                          is read if there is one
      --set KEY=VALUE     overrides a key, as often as you like: log.level=debug
      -h, --help

    Every key can also stand in the environment: TURNPIKE_LOG_LEVEL=debug.
    Exit status: 0 good, 64 wrong usage, 78 wrong configuration, 1 anything else.
    """

  /// Every key of the configuration.
  static var reference: String {
    var lines = ["Every key of the configuration file, its default, and what it takes.", ""]
    for key in ConfigurationKey.all {
      let value = key.defaultValue.utf8.count > 60 ? "(several)" : key.defaultValue
      lines.append("\(key.path): \(value)")
      lines.append("    \(key.summary)")
      lines.append("    takes \(key.expectation)")
      lines.append("    or \(key.environmentName)")
    }
    return lines.joined(separator: "\n")
  }

  var help: String {
    switch self {
    case .help: Self.overview
    case .serve:
      """
      turnpike [serve] [--config FILE] [--set KEY=VALUE]...

      Runs the server until SIGTERM or SIGINT. It logs to standard error; "ready" is
      logged once every listener is bound. SIGHUP reads the configuration again.
      Without any configuration a user is made, and ready-to-paste iceServers JSON
      is printed on standard output.
      """
    case .check:
      """
      turnpike check [--config FILE] [--set KEY=VALUE]...

      Validates the configuration and prints the effective one: defaults, file,
      environment and --set together, with secrets as <redacted>. Exit status 78 if
      it is wrong; every error names file, line and key.
      """
    case .user:
      """
      turnpike user add NAME [--realm REALM] [--password-stdin]
      turnpike user passwd NAME [--realm REALM] [--password-stdin]
      turnpike user remove NAME [--realm REALM]
      turnpike user list [--realm REALM]

      Manages long-term credentials in the configured store, also while the server
      runs: it sees a change within a second.

        --realm REALM      instead of the configured realm
        --password-stdin   read the password from standard input; without it one is
                           made and printed once, alone, on standard output

      The store keeps keys, not passwords: what was lost can only be replaced with
      passwd. The list has a line each: name, realm and when it was made, parted by
      tabs. A NAME that begins with a dash stands after --.
      """
    case .secret:
      """
      turnpike secret add [--realm REALM] [--secret-stdin]
      turnpike secret list [--realm REALM]
      turnpike secret remove ID [--realm REALM]

      Manages the shared secrets of time-limited credentials in the configured
      store. With several, each is good: add the new one, switch its users over,
      remove the old one.

        --realm REALM      instead of the configured realm
        --secret-stdin     read the secret from standard input; without it one is
                           made and printed once, alone, on standard output

      The list has a line each: id, realm and when it was added, parted by tabs;
      secrets themselves are not shown.
      """
    case .credentials:
      """
      turnpike credentials [--user ID] [--ttl SECONDS] [--realm REALM]

      Prints iceServers JSON for new RTCPeerConnection(...) with a time-limited
      credential, made from the first of auth.secrets, else from the first secret
      of the store.

        --user ID       whom the credential is for; quotas count by it
        --ttl SECONDS   how long an allocation can be made with it (default 86400)
        --realm REALM   instead of the configured realm
      """
    case .oauthToken:
      """
      turnpike oauth-token [--kid ID] [--ttl SECONDS] [--realm REALM]

      Prints an access token (RFC 7635) as an authorization server would hand it
      out, sealed with a key of auth.oauth-keys: JSON with kid, access_token,
      mac_key (both Base64), lifetime and server_name. For tests.

        --kid ID        the key; without it the first one
        --ttl SECONDS   how long the token is good for (default 3600)
        --realm REALM   the server name that it is for (default: the realm)
      """
    case .version: "turnpike version\n\nPrints the version."
    case .import, .status, .sessions, .drain, .kick:
      "turnpike \(rawValue)\n\nThis version of turnpike does not have this command yet."
    }
  }
}
