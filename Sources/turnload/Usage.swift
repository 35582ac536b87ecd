/// What `--help` says.
enum Usage {
  static let version = "0.1.0"

  /// Fits a screen of 24 lines, the prompt among them, and 80 columns.
  static let text = """
    turnload [COMMAND] [OPTIONS] TARGET      a load on a server of yours, measured

      relay (default)  through allocations to peers: sockets of turnload
      relay-to-relay   between allocations     binding   Binding requests
      allocate         401, Allocate, Refresh  hold      allocations that are kept
      floor [--rate N] no server: what one sendto and one recv cost this machine

      --transport udp|tcp|tls|dtls         --direction to-peer|to-client|echo
      --size BYTES (172)     --allocations N (1)     --burst N: 1 to 64 in a row
      --window N (256)       packets under way: as fast as the server goes
      --rate N, --search     N a second; the highest rate with less than 0.1 % loss
      --duration SECONDS (5), after --warm-up SECONDS (0.3)
      --indications          Send and Data, not ChannelData
      --gso, --gro           UDP: bursts leave, arrive in one piece
      --max-loss PERCENT     warn beyond it              --json, --version, --help
      --server-pid PID[,PID] the server (and kernel threads that work for it)
      --server-core N        all that is busy on its core
      --username NAME, --password-file FILE, --secret-file FILE,
      --oauth-token-file FILE, or TURNLOAD_USERNAME, _PASSWORD, _SECRET
      --ca FILE, --insecure, --i-own-this-server (public addresses need it)

    Exit status: 0 good, 1 a warning, 2 failed, 3 wrong usage. --json: turnload.md
      TURNLOAD_USERNAME=u TURNLOAD_PASSWORD=p turnload --direction echo turn:[::1]

    """
}
