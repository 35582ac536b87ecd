internal import Probe
internal import CommandLine
internal import LoadGeneration

extension Arguments {
  private static let works = Set(LoadSettings.Work.allCases)

  /// Every option of turnload.
  static let table = OptionTable<LoadSettings.Work>(
    environmentPrefix: "TURNLOAD",
    [
      .init("Load", loadOptions), .init("Duration and thresholds", amountOptions),
      .init("Credentials and TLS", credentialOptions), .init("Output", outputOptions),
    ])

  static let program = Program(
    name: "turnload",
    commands: [
      .init("relay", .relay, "through allocations to peers"),
      .init("relay-to-relay", .relayToRelay, "from one allocation to another"),
      .init("binding", .binding, "Binding requests"),
      .init("allocate", .allocate, "401, Allocate and Refresh"),
      .init("hold", .hold, "allocations that are kept"),
      .init("floor", .floor, "no server: what this machine's sockets cost"),
    ], targets: ["stun:", "stuns:", "turn:", "turns:"], standardCommands: works, table: table)

  private static let loadOptions: [Option<LoadSettings.Work>] = [
    Option(
      "--transport", .choice(["udp", "tcp", "tls", "dtls"]), for: works, help: "the transport; overrides TARGET",
      manual: "the transport, whatever the target says.", slips: ["--protocol", "--proto"]),
    Option(
      "--direction", .choice(["to-peer", "to-client", "echo"]), for: works, help: "direction of relay",
      manual: "direction of `relay`; to-peer by default."),
    Option(
      "--indications", for: works, help: "Send and Data, not ChannelData",
      manual: "use Send and Data indications instead of ChannelData."),
    Option(
      "--size", .whole("BYTES", 16...1400), for: works, standard: "172", help: "data in each packet",
      manual: "data in each packet, 16 to 1400; 172 by default."),
    Option(
      "--allocations", .whole("N", 1...65_536), for: works, standard: "1",
      help: "allocations, or clients that send requests at the same time",
      manual: "allocations, or clients that send requests at the same time; 1 by default.",
      slips: ["--connections", "--clients"]),
    Option(
      "--burst", .whole("N", 1...64), for: works, standard: "1", help: "packets of one allocation in a row",
      manual: "packets of one allocation in a row, 1 to 64."),
    Option(
      "--window", .whole("N", 1...1_000_000), for: works, standard: "256",
      help: "packets in flight, as fast as answered",
      manual: "packets in flight, as fast as answered; 256 by default.", excludes: ["--rate", "--search"]),
    Option(
      "--rate", .whole("N", 1...100_000_000), for: works, help: "packets a second", manual: "packets a second.",
      slips: ["--pps"], excludes: ["--window", "--search"]),
    Option(
      "--search", for: works, help: "look for the highest rate with less than 0.1 % loss",
      manual: "look for the highest rate with less than 0.1 % loss.", excludes: ["--window", "--rate"]),
    Option("--gso", for: works, help: "UDP: send a burst in one system call"),
    Option(
      "--gro", for: works, help: "UDP: receive a burst in one system call",
      manual: "UDP: send, and receive, a burst in one system call."),
  ]

  private static let amountOptions: [Option<LoadSettings.Work>] = [
    Option(
      "--duration", .time(.seconds, in: .milliseconds(100)...(.seconds(86_400))), for: works, standard: "5",
      help: "time that is measured",
      manual: "time that is measured; 5 by default.", slips: ["--time"]),
    Option(
      "--warm-up", .time(.seconds, in: .zero...(.seconds(3600))), for: works, standard: "0.3",
      help: "time before the measurement",
      manual: "time before the measurement; 0.3 by default."),
    Option(
      "--max-loss", .percent(decimals: 2), for: works, help: "warn if the loss is above this percentage",
      manual: "warn if the loss is above this percentage; 50 by default."),
    Option(
      "--server-pid", .number("PID[,PID]", decimals: 0, in: 1...4_194_304), for: works,
      help: "the server (and kernel threads that work for it)",
      manual: """
        report CPU time and memory of the server's process, and CPU time of kernel threads that work for it.
        """),
    Option(
      "--server-core", .whole("N", 0...8191), for: works, help: "report how busy this core is",
      manual: "also report how busy this core was."),
  ]

  private static let credentialOptions: [Option<LoadSettings.Work>] =
    [
      ClientOptions.username("TURNLOAD", for: works, manual: ""),
      ClientOptions.passwordFile("TURNLOAD", for: works, manual: ""),
      ClientOptions.secretFile("TURNLOAD", for: works, manual: ""),
      ClientOptions.tokenFile(for: works, manual: "credentials, as for `stunclient(1)`."),
    ] + ClientOptions.trust(for: works) + [
      ClientOptions.owner(for: works, manual: "needed for addresses that are neither loopback nor private.")
    ]

  private static let outputOptions: [Option<LoadSettings.Work>] =
    [
      Option(
        "--json", for: works, help: "one JSON document", manual: "one JSON document, which docs/turnload.md describes.")
    ] + ClientOptions.standard(for: works)
}
