/// What `--help` says: each page fits a screen of 24 lines and 80 columns.
enum Usage {
  static let version = "0.1.0"

  static func text(_ topic: Arguments.Command?) -> String {
    switch topic {
    case .binding: binding
    case .relay: relay
    case .ping: ping
    case .nat: nat
    case .security: security
    case .decode: decode
    case .credentials: credentials
    case .help, .version, nil: overview
    }
  }

  private static let overview = """
    stunclient [COMMAND] [OPTIONS] TARGET [PORT]

    Asks a STUN or TURN server. TARGET: HOST[:PORT] or a stun:, stuns:, turn: or
    turns: URI. Without a command: relay for turn: and turns:, else binding.

      binding      our address as the server sees it     nat       NAT behaviour
      relay        a TURN relay, step by step, timed     security  forbidden peers
      ping         round trips, loss, jitter for long    decode    STUN bytes
      credentials  time-limited ones for a page
      help COMMAND, COMMAND --help                        the options of one

      -4, -6, --family 4|6     only such addresses of the server
      --udp --tcp --tls --dtls, --protocol P              whatever TARGET says
      --localaddr A, --localport N, --timeout SECONDS (10)
      --dns-server IP[:PORT], --trace                     how names are resolved
      --ca FILE, --insecure, --min-days N                 the TLS certificate
      --json, --ndjson, --check, --prometheus FILE        for programs

    Exit status: 0 good, 1 a warning threshold passed, 2 failed, 3 wrong usage.
      stunclient stun.example.org
      STUNCLIENT_USERNAME=ann STUNCLIENT_PASSWORD=… stunclient turns:turn.test

    """

  private static let binding = """
    stunclient [binding] [OPTIONS] TARGET [PORT]

    Sends a Binding request: our address as the server sees it, the round trip.
    A name with IPv4 and IPv6 addresses is asked over both, and both must work.

      --count N            N requests, each sent once, and statistics
      --interval SECONDS   between them (1)
      --warn-rtt MS        warn if the median round trip is longer
      --warn-loss PERCENT  warn if more requests are lost
      --min-days N         warn if the certificate ends within N days
      --ice-servers FILE   every URL of an RTCConfiguration JSON (- is standard
                           input), stun: with binding and turn: with relay
      --mode MODE          as stuntman's: basic, behavior, filtering, full
      --verbosity N        for scripts of stuntman's client: taken, and ignored
      --json, --ndjson, --check, --prometheus FILE

      stunclient --count 5 --interval 0.2 --warn-rtt 50 --check stun:192.0.2.1
      stunclient --tls --min-days 14 turn.example.org
      stunclient --ice-servers servers.json --json

    """

  private static let relay = """
    stunclient [relay] [OPTIONS] TURN-URI

    Allocate, permission, data there and back in both framings, channel, refresh,
    delete: what a call does, each step timed. A name with IPv4 and IPv6 addresses
    is checked over both (-4 or -6: one), and both must work.

      --username NAME          also STUNCLIENT_USERNAME
      --password-file FILE     also STUNCLIENT_PASSWORD; - is standard input
      --secret-file FILE       also STUNCLIENT_SECRET: a time-limited credential
      --oauth-token-file FILE  as turnpike oauth-token prints it (RFC 7635)
      --relay-family 4|6       of the relayed address
      --count N                N numbered packets through the channel: loss, jitter
      --interval SECONDS       between them (0.02)
      --warn-rtt MS, --warn-loss PERCENT, --min-days N
      --ice-servers FILE       every URL of a deployment, at the same time
      --json, --ndjson, --check, --prometheus FILE

      STUNCLIENT_USERNAME=ann STUNCLIENT_PASSWORD=… stunclient turn:192.0.2.1
      stunclient --secret-file s --count 500 turns:turn.example.org?transport=tcp

    """

  private static let ping = """
    stunclient ping [OPTIONS] TARGET [PORT]

    Binding requests until --count or Ctrl-C: round trips (min, p50, p90, p99, max),
    jitter, loss, duplicates, reordering.

      --count N            end after N requests
      --interval SECONDS   between requests (1); answers are not waited for
      --timeout SECONDS    an answer later than this counts as lost (10)
      --warn-rtt MS        warn if the median round trip is longer
      --warn-loss PERCENT  warn if more requests are lost
      --min-days N         warn if the certificate ends within N days
      --json, --check      only the summary
      --ndjson             a line for each answer, and the summary
      --prometheus FILE    the summary

      stunclient ping stun.example.org
      stunclient ping --count 100 --interval 0.05 --tcp turn.example.org 3478

    """

  private static let nat = """
    stunclient nat [OPTIONS] TARGET [PORT]

    Asks a server with two addresses (RFC 5780) how the NAT before us maps and
    filters, whether it hairpins, and whether it changes what passes. What the
    server can't tell is said to be unknown.

      --lifetime SECONDS   also how long a binding without traffic lives, up to
                           so many seconds; takes as long
      --tcp                over TCP, where only the mapping can be tested
      --mode MODE          stuntman's: behavior (mapping only), filtering, full
      --localaddr ADDRESS  an address of this machine, or an interface
      --localport PORT     for the mapping tests
      --timeout SECONDS    for the first answer (10)
      -4, -6, --json, --ndjson, --check, --prometheus FILE

      stunclient nat stun.example.org
      stunclient nat --lifetime 120 --timeout 3 --json stun.example.org
      stunclient --mode full stun.example.org 3478

    """

  private static let security = """
    stunclient security [OPTIONS] TURN-URI

    Tries what a relay must refuse, on a server of your own: peers that are
    loopback, private, link-local, metadata services and every disguise of them,
    the server's own ports; replayed nonces, unsigned requests, amplification.
    Says what it lets through; exit status 2 if anything.

      --i-own-this-server  for addresses that are neither loopback nor private
      --username NAME, --password-file FILE, --secret-file FILE,
      --oauth-token-file FILE, or the environment: as for relay
      --second-username NAME, --second-password-file FILE
                           another user, who must not touch what the first one
                           has; with a shared secret there is always one
      --json, --ndjson, --check, --prometheus FILE

      STUNCLIENT_USERNAME=ann STUNCLIENT_PASSWORD=… \\
        stunclient security turn:192.168.1.9
      stunclient security --secret-file s --i-own-this-server turn:turn.example.org

    """

  private static let decode = """
    stunclient decode [OPTIONS] [HEX|FILE|-]

    Explains STUN and TURN messages and ChannelData, attribute by attribute: from
    hexadecimal text (on the command line, in a file, on standard input), from raw
    bytes, or from a pcap or pcapng file, where UDP and TCP are looked through.

      --password-file FILE, --username NAME   or the environment: checks
                           MESSAGE-INTEGRITY (the name if only USERHASH is sent)
      --secret-file FILE   checks it for time-limited credentials
      --json, --ndjson     for programs; --ndjson has one message a line

      stunclient decode 000100002112a442b7e7a701bc34d686fa87dfae
      tcpdump -c 100 -w - udp port 3478 | stunclient decode -
      STUNCLIENT_PASSWORD=… stunclient decode call.pcapng

    """

  private static let credentials = """
    stunclient credentials [OPTIONS] [TURN-URI...]

    Makes a time-limited credential (TURN REST API) from a shared secret and prints
    it as JSON: with URIs the iceServers that a page needs.

      --secret-file FILE   also STUNCLIENT_SECRET; - is standard input
      --username ID        whom it is for; the user name is EXPIRY:ID
      --ttl SECONDS        how long it is good for (86400)

      stunclient credentials --secret-file s --username 42 --ttl 3600 \\
        turn:turn.example.org turns:turn.example.org?transport=tcp

    """
}
