public import CommandLine

/// The options that stunclient and turnload share.
public enum ClientOptions {
  /// The options for the user's credentials. `prefix`: the prefix of the program's environment variables.
  public static func username<Command>(
    _ prefix: String, for commands: Set<Command>, manual: String
  ) -> Option<Command> {
    Option(
      "--username", .text("NAME"), for: commands, help: "the user, also \(prefix)_USERNAME", manual: manual,
      slips: ["-u", "--user", "--login"])
  }

  public static func passwordFile<Command>(
    _ prefix: String, for commands: Set<Command>, manual: String
  ) -> Option<Command> {
    Option(
      "--password-file", .file, for: commands, help: "the password, also \(prefix)_PASSWORD; - is standard input",
      manual: manual)
  }

  public static func secretFile<Command>(
    _ prefix: String, for commands: Set<Command>, manual: String
  ) -> Option<Command> {
    Option(
      "--secret-file", .file, for: commands,
      help: "the shared secret of time-limited credentials, also \(prefix)_SECRET",
      manual: manual)
  }

  public static func tokenFile<Command>(for commands: Set<Command>, manual: String) -> Option<Command> {
    Option(
      "--oauth-token-file", .file, for: commands, help: "an access token, as turnpike oauth-token prints it (RFC 7635)",
      manual: manual)
  }

  /// The options for the certificate authorities that TLS trusts.
  public static func trust<Command>(for commands: Set<Command>) -> [Option<Command>] {
    [
      Option(
        "--ca", .file, for: commands, help: "trust these authorities and no others",
        manual: "trust these authorities and no others.", slips: ["--cacert", "--cafile", "-E", "--CAfile"],
        excludes: ["--insecure"]),
      Option(
        "--insecure", for: commands, help: "do not verify the server's certificate",
        manual: "do not verify the server's certificate.", slips: ["-k"], excludes: ["--ca"]),
      Option(
        "--certificate", .file, for: commands, help: "a PEM chain for servers that request one (tls.client-ca)",
        manual: "a PEM certificate chain for servers that request one from their clients (tls.client-ca).",
        slips: ["--cert"]),
      Option(
        "--private-key", .file, for: commands, help: "the private key of --certificate, in PEM",
        manual: "the private key of --certificate, in PEM, not encrypted.", slips: ["--key", "--pkey"]),
    ]
  }

  public static func owner<Command>(for commands: Set<Command>, manual: String) -> Option<Command> {
    Option(
      "--i-own-this-server", for: commands, help: "needed for addresses that are neither loopback nor private",
      manual: manual)
  }

  /// The options for help and version.
  public static func standard<Command>(for commands: Set<Command>) -> [Option<Command>] {
    [
      Option(
        "--help", shortForms: ["-h"], for: commands, help: "help",
        manual: "help; after a command, that of the command.",
        excludes: ["-"]),
      Option(
        "--version", for: commands, help: "the version", manual: "the version.", slips: ["-v", "-V"], excludes: ["-"]),
    ]
  }
}
