internal import NetworkTypes
internal import TURN

/// The keys of NAT discovery, the admin endpoint, hardening, the log and events.
extension Schema where Root == Settings {
  static var services: [Field<Settings>] {
    [
      Field(
        "nat-discovery.primary", \.turn.natDiscovery.primary, .socketAddress,
        "first address of NAT discovery (RFC 5780)",
        takesEffect: .atRestart),
      Field(
        "nat-discovery.alternate", \.turn.natDiscovery.alternate, .socketAddress,
        "second address of NAT discovery; both IP address and port differ from the first", takesEffect: .atRestart),
      Field(
        "admin.listen", \.admin.listen, .adminAddress,
        "health, metrics, API and dashboard over HTTP; off loopback over HTTPS with the server's certificate",
        takesEffect: .atRestart),
      Field(
        "admin.token", \.admin.token, .secret("a token", mayBeEmpty: true),
        "bearer token of API and dashboard; needed off loopback"),
      Field(
        "admin.allow-origins", \.admin.allowOrigins, Format.list(.origin).distinct { $0 },
        "web pages of these origins may ask for credentials (CORS), with the token; empty: no other page may"),
      Field(
        "admin.demo", \.admin.demo, .boolean, "true: a page at /demo for a check and calls in the browser",
        takesEffect: .atRestart),
      Field(
        "hardening.capabilities", \.hardening.capabilities, .boolean,
        "gives up all capabilities once the sockets are bound", takesEffect: .atRestart),
      Field(
        "hardening.no-new-privileges", \.hardening.noNewPrivileges, .boolean,
        "the process can never gain privileges again", takesEffect: .atRestart),
      Field(
        "hardening.seccomp", \.hardening.seccomp, .boolean, "the kernel refuses system calls that are not needed",
        takesEffect: .atRestart),
      Field(
        "hardening.landlock", \.hardening.landlock, .boolean,
        "the kernel refuses files that are not configured, where it has Landlock", takesEffect: .atRestart),
      Field(
        "hardening.core-dumps", \.hardening.coreDumps, .boolean, "true: a crash may leave a core with secrets in it",
        takesEffect: .atRestart),
      Field("log.level", \.log.level, .choice, "events of this level and above are logged"),
      Field("log.format", \.log.format, .choice, "one event a line, as text or as JSON"),
      Field(
        "log.privacy", \.log.privacy, .choice,
        "users and client addresses in lines at info; truncated: first characters and networks"),
      Field(
        "events.webhook", \.events.webhook, .webURL, "URL that gets events of allocations and failed logins",
        takesEffect: .atRestart),
      Field(
        "events.secret", \.events.secret, .secret("a secret", mayBeEmpty: true), "signs the events (HMAC-SHA256)"),
      Field(
        "events.usage-interval", \.events.usageInterval, .duration(from: 0),
        "time between two usage events of a live allocation; 0s: none"),
    ]
  }
}
