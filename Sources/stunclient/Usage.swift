/// What `--help` says.
enum Usage {
  static let version = "0.1.0"

  static let text = """
    stunclient [binding|relay] [OPTIONS] TARGET [PORT]

    Asks a STUN or TURN server and says what it found. TARGET is HOST[:PORT] or a stun:, stuns:, turn: or turns: URI.
    Without a command a turn: or turns: target is checked as a relay, every other with a Binding request.

      binding   our address as the server sees it, and the round trip
      relay     allocate, permission, data there and back in both framings, channel, refresh, delete: each step timed

      -4, -6                  only IPv4, only IPv6 addresses of the server
      --udp --tcp --tls --dtls  the transport, whatever TARGET says
      --count N               N Binding requests, and statistics
      --interval SECONDS      between them (1)
      --timeout SECONDS       for a connection or an answer (10)
      --username NAME         also STUNCLIENT_USERNAME
      --password-file FILE    also STUNCLIENT_PASSWORD; - is standard input
      --secret-file FILE      also STUNCLIENT_SECRET: makes a time-limited (REST) credential
      --relay-family 4|6      the family of the relayed address
      --ca FILE               trust these certificate authorities and no others
      --insecure              do not verify the server's certificate
      --min-days N            warn if the certificate ends within N days
      --warn-rtt MS           warn if the median round trip is longer
      --warn-loss PERCENT     warn if more requests are lost
      --json                  one JSON document
      --check                 one line for monitoring systems
      --version, --help

    Exit status: 0 good, 1 a warning threshold was passed, 2 failed, 3 wrong usage.

      stunclient stun.example.org
      STUNCLIENT_USERNAME=alice STUNCLIENT_PASSWORD=secret stunclient turns:turn.example.org
      stunclient --check --warn-rtt 50 --count 5 --interval 0.2 stun:192.0.2.1:3478

    """
}
