internal import CommandLine
internal import Probe

/// The text of `--help`: each page fits a screen of 24 lines and 80 columns. The options come from the table.
enum Usage {
  static func text(_ topic: Arguments.Command?) -> String { HelpPage(Arguments.table, parts(topic)).text }

  private typealias Part = HelpPage<Arguments.Command>.Part

  private static func parts(_ topic: Arguments.Command?) -> [Part] {
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

  private static let overview: [Part] = [
    .text(
      """
      stunclient [COMMAND] [OPTIONS] TARGET [PORT]

      Asks a STUN or TURN server. TARGET: HOST[:PORT] or a stun:, stuns:, turn: or
      turns: URI; without one, the variable STUNCLIENT_TARGET. Without a command:
      relay for turn: and turns:, else binding.

        binding      our address as the server sees it     nat       NAT behaviour
        relay        a TURN relay, step by step, timed     security  forbidden peers
        ping         round trips, loss, jitter, repeated   decode    STUN bytes
        credentials  time-limited, for a web page
        help COMMAND, COMMAND --help                       options of COMMAND

      """),
    .row(["-4", "-6", "--family"], nil), .list(["--udp", "--tcp", "--tls", "--dtls", "--protocol"]),
    .list(["--localaddr", "--localport", "--certificate", "--private-key"]), .row(["--timeout"], nil),
    .row(["--dns-server", "--trace"], "how names are resolved"),
    .row(["--ca", "--insecure"], "the TLS certificate"),
    .list(["--min-days", "--json", "--ndjson", "--check", "--prometheus"]),
    .text(
      """

      Exit status: 0 good, 1 a warning threshold passed, 2 failed, 3 wrong usage.
        stunclient stun.example.org
        STUNCLIENT_USERNAME=ann STUNCLIENT_PASSWORD=… stunclient turns:turn.test
      """),
  ]

  private static let binding: [Part] = [
    .text(
      """
      stunclient [binding] [OPTIONS] TARGET [PORT]

      Sends a Binding request: our address as the server sees it, the round trip.
      A name with IPv4 and IPv6 addresses is asked over both, and both must work.

      """),
    .row(["--count"], "send N requests, each once, and print statistics"),
    .row(["--interval"], "time between two requests (1)"), .row(["--warn-rtt"], nil),
    .row(["--warn-loss"], "warn if more requests are lost"), .row(["--min-days"], nil),
    .row(
      ["--ice-servers"], "every URL of an RTCConfiguration JSON (- is standard input): stun: and turn:, each its check"),
    .row(["--mode"], "as stuntman's client"), .row(["--verbosity"], nil),
    .list(["--json", "--ndjson", "--check", "--prometheus"]),
    .text(
      """

        stunclient --count 5 --interval 0.2 --warn-rtt 50 --check stun:192.0.2.1
        stunclient --tls --min-days 14 turn.example.org
        stunclient --ice-servers servers.json --json
      """),
  ]

  private static let relay: [Part] = [
    .text(
      """
      stunclient [relay] [OPTIONS] TURN-URI

      Allocate, permission, data there and back in both framings, channel, refresh,
      delete: what a call does, each step timed. A name with IPv4 and IPv6 addresses
      is checked over both (-4 or -6: one), and both must work.

      """),
    .row(["--username"], nil),
    .row(["--password-file"], "also STUNCLIENT_PASSWORD; - is standard input; without either, asks on the terminal"),
    .row(["--secret-file"], "also STUNCLIENT_SECRET: time-limited credential"),
    .row(["--oauth-token-file"], "as turnpike oauth-token prints it (RFC 7635)"), .row(["--relay-family"], nil),
    .row(["--count"], "N packets through the channel: loss, jitter"),
    .row(["--interval"], "time between two packets (0.02)"), .list(["--warn-rtt", "--warn-loss", "--min-days"]),
    .row(["--ice-servers"], "every URL of a deployment, at the same time"),
    .list(["--json", "--ndjson", "--check", "--prometheus"]),
    .text(
      """

        STUNCLIENT_USERNAME=ann STUNCLIENT_PASSWORD=… stunclient turn:192.0.2.1
        stunclient --secret-file s --count 500 turns:turn.example.org?transport=tcp
      """),
  ]

  private static let ping: [Part] = [
    .text(
      """
      stunclient ping [OPTIONS] TARGET [PORT]

      Binding requests until --count or Ctrl-C: round trips (min, p50, p90, p99, max),
      jitter, loss, duplicates, reordering.

      """),
    .row(["--count"], "end after N requests"),
    .row(["--interval"], "time between requests (1); does not wait for answers"),
    .row(["--timeout"], "an answer later than this counts as lost (10)"), .row(["--warn-rtt"], nil),
    .row(["--warn-loss"], "warn if more requests are lost"), .row(["--min-days"], nil),
    .row(["--json", "--check"], "only the summary"),
    .row(["--ndjson"], "a line for each answer, and the summary"), .row(["--prometheus"], "the summary"),
    .text(
      """

        stunclient ping stun.example.org
        stunclient ping --count 100 --interval 0.05 --tcp turn.example.org 3478
      """),
  ]

  private static let nat: [Part] = [
    .text(
      """
      stunclient nat [OPTIONS] TARGET [PORT]

      Finds out how the NAT between this machine and the server maps and filters,
      whether it hairpins, and whether it changes messages. A full answer needs a
      server with two addresses (RFC 5780; turnpike: nat-discovery).

      """),
    .row(
      ["--lifetime"],
      "also measure how long a binding without traffic lives, up to this many seconds; takes as long"),
    .row(["--tcp"], "over TCP, where only the mapping can be tested"),
    .row(["--mode"], "as stuntman's client: behavior tests the mapping only"),
    .row(["--localaddr"], "an address of this machine, or an interface"),
    .row(["--localport"], "for the mapping tests"), .row(["--timeout"], "for the first answer (10)"),
    .list(["-4", "-6", "--json", "--ndjson", "--check", "--prometheus"]),
    .text(
      """

        stunclient nat stun.example.org
        stunclient nat --lifetime 120 --timeout 3 --json stun.example.org
        stunclient --mode full stun.example.org 3478
      """),
  ]

  private static let security: [Part] = [
    .text(
      """
      stunclient security [OPTIONS] TURN-URI

      Tries what a relay must refuse, on a server of your own: loopback, private,
      link-local and metadata service peers, also embedded in IPv6 addresses; the
      server's own ports; replayed nonces, unsigned requests, amplification.
      Exit status 2 if the server lets anything through.

      """),
    .row(["--i-own-this-server"], nil),
    .list(["--username", "--password-file", "--secret-file", "--oauth-token-file"]),
    .text("    or the environment: as for relay"),
    .row(
      ["--second-username", "--second-password-file"],
      "another user, whose requests on the first one's allocation must fail; made from a shared secret if not given"),
    .list(["--json", "--ndjson", "--check", "--prometheus"]),
    .text(
      """

        STUNCLIENT_USERNAME=ann STUNCLIENT_PASSWORD=… \\
          stunclient security turn:192.168.1.9
        stunclient security --secret-file s --i-own-this-server turn:turn.example.org
      """),
  ]

  private static let decode: [Part] = [
    .text(
      """
      stunclient decode [OPTIONS] [HEX|FILE|-]

      Explains STUN and TURN messages and ChannelData, attribute by attribute: from
      hexadecimal text (on the command line, in a file, on standard input; dumps of
      xxd, od and Wireshark too), from raw bytes, or from a pcap or pcapng file.

      """),
    .row(["--password-file"], "or STUNCLIENT_PASSWORD: checks MESSAGE-INTEGRITY"),
    .row(["--username"], "or STUNCLIENT_USERNAME: needed if only USERHASH is sent"),
    .row(["--secret-file"], "checks MESSAGE-INTEGRITY of time-limited credentials"),
    .row(["--json", "--ndjson"], "for programs; --ndjson has one message a line"),
    .text(
      """

        stunclient decode 000100002112a442b7e7a701bc34d686fa87dfae
        tcpdump -c 100 -w - udp port 3478 | stunclient decode -
        STUNCLIENT_PASSWORD=… stunclient decode call.pcapng
      """),
  ]

  private static let credentials: [Part] = [
    .text(
      """
      stunclient credentials [OPTIONS] [TURN-URI...]

      Makes a time-limited credential (TURN REST API) from a shared secret and prints
      it as JSON: with URIs the iceServers that a page needs.

      """),
    .row(["--secret-file"], "also STUNCLIENT_SECRET; - is standard input"),
    .row(["--username"], "the user it is made for; the user name is EXPIRY:NAME"), .row(["--ttl"], nil),
    .text(
      """

        stunclient credentials --secret-file s --username 42 --ttl 3600 \\
          turn:turn.example.org turns:turn.example.org?transport=tcp
      """),
  ]
}
