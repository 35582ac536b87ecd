package import NetworkTypes
package import TURNClient

/// The parsed command line of stunclient.
package struct ProbeRequest: Sendable {
  package enum Command: String, CaseIterable, Sendable {
    case binding, relay, nat, ping, security, decode, credentials, help, version
  }

  /// The form of output: text, --json, --ndjson or --check.
  package enum Format: Sendable {
    case text, json, ndjson, check
  }

  /// stuntman's `--mode`.
  package enum Mode: String, Sendable {
    case basic, behavior, filtering, full
  }

  package var command = Command.help
  /// The command of the requested help page; nil: the overview.
  package var topic: Command?
  package var uri = ServerURI(scheme: .stun, host: .name("localhost"))
  /// The operands of `decode` and `credentials`.
  package var operands: [String] = []
  /// A file with an RTCConfiguration in place of a target.
  package var iceServers: String?
  /// Whether the command line names the command; else the scheme chose it.
  package var isCommandNamed = false
  /// Whether the port is a separate operand, as for stuntman's client.
  package var hasPortOperand = false
  /// Nil: the URI chooses.
  package var transport: TransportProtocol?
  package var family: IPAddress.Family?
  package var localAddress: String?
  package var localPort: UInt16 = 0
  package var relayFamily: IPAddress.Family?
  /// Nil: once, or endlessly for `ping`.
  package var count: Int?
  /// Nil: the command's default.
  package var interval: Duration?
  package var timeout = Duration.seconds(10)
  package var credentials = CredentialSource(prefix: "STUNCLIENT", lifetime: .seconds(600))
  /// `security`: another user of the server.
  package var second = SecondUserSource()
  package var trust = TrustSource()
  package var format = Format.text
  /// The path of `--prometheus`.
  package var prometheus: String?
  package var thresholds = Thresholds()
  package var mode: Mode?
  /// The longest binding lifetime of a NAT that is tested; nil: no test.
  package var lifetime: Duration?
  /// `credentials`: how long the credential is valid.
  package var timeToLive = Duration.seconds(86_400)
  /// `--i-own-this-server`.
  package var isOwner = false
  package var nameServer: SocketAddress?
  /// `--trace`: whether the output shows the DNS queries.
  package var isTraced = false
  /// The names of the given options, to refuse those that do not belong to the command.
  package var given: [String] = []

  /// Limits beyond which the result is a warning; nil: no such limit.
  package struct Thresholds: Sendable {
    package var roundTrip: Duration?
    /// Tenths of a percent.
    package var loss: UInt64?
    /// The days for which the certificate must still be valid.
    package var days: Int64?
  }

  package init() {}

  /// Whether this command line may come from a script for stuntman's client, which uses one address (IPv4 by default)
  /// and prints its lines once.
  package var isStuntmanCompatible: Bool {
    mode != nil || (hasPortOperand && !isCommandNamed && command == .binding && format == .text)
  }
}
