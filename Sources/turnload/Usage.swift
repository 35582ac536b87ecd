/// What `--help` says.
enum Usage {
  static let version = "0.1.0"

  static let text = """
    turnload [binding|allocate|hold|relay|relay-to-relay|floor] [OPTIONS] TARGET

    Puts a load on a STUN or TURN server and measures it. TARGET is HOST[:PORT] or a stun:, stuns:, turn: or turns: URI.

      binding          Binding requests           allocate         401, Allocate, Refresh 0, each from a new address
      hold             allocations that are kept  relay-to-relay   from one allocation of the server to another
      relay            through allocations to peers, which are sockets of turnload (the default)
      floor            no server: what one sendto and one recv cost this machine

      --transport T           udp, tcp, tls, whatever TARGET says
      --direction D           relay: to-peer (default), to-client, echo
      --indications           Send and Data indications in place of ChannelData
      --size BYTES            data in each packet, 16 to 1400 (172)
      --allocations N         allocations, or clients that ask at the same time (1)
      --burst N               packets of one allocation in a row, 1 to 64 (1)
      --window N              packets under way: as fast as the server goes (256)
      --rate N | --search     N packets a second | the highest rate with less than 0.1 % loss
      --duration SECONDS      that are measured (5), after a --warm-up (0.3)
      --gso, --gro            UDP: bursts leave in one piece, arrive in one piece
      --max-loss PERCENT      warn (exit status 1) beyond it
      --server-pid PID[,PID]  the server's CPU time and memory, the CPU time of kernel threads that work for it
      --server-core N         all that is busy on its core
      --username NAME         also TURNLOAD_USERNAME
      --password-file FILE    also TURNLOAD_PASSWORD; - is standard input
      --secret-file FILE      also TURNLOAD_SECRET: makes a time-limited (REST) credential
      --ca FILE, --insecure   trust these authorities and no others; do not verify the server's certificate
      --i-own-this-server     needed for addresses that are neither loopback nor private
      --json, --version, --help

    Exit status: 0 good, 1 more loss than --max-loss, 2 failed, 3 wrong usage.

      TURNLOAD_USERNAME=u TURNLOAD_PASSWORD=p turnload relay --allocations 100 --direction echo turn:127.0.0.1

    """
}
