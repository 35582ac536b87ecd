import ClientIO
import CommandLine
import Foundation
import JSON
import NetworkTypes
import TURNClient
import TestSupport
import Testing

@testable import Probe
@testable import stunclient

@Suite("stunclient's command line")
struct ArgumentsTests {
  func read(_ line: String) throws -> Arguments { try Arguments(line.split(separator: " ").map(String.init)) }

  @Test("The scheme chooses the command unless one is named")
  func command() throws {
    #expect(try read("stun:a.test").command == .binding)
    #expect(try read("a.test").command == .binding)
    #expect(try read("turn:a.test").command == .relay)
    #expect(try read("turns:a.test").command == .relay)
    #expect(try read("binding turn:a.test").command == .binding)
    #expect(try read("relay a.test").command == .relay)
    #expect(try read("stun:relay").uri.description == "stun:relay")
    #expect(try read("--help stun.test").command == .help && read("localhost --help").command == .help)
    #expect(try read("bindng").uri.hints == ["\"bindng\" is taken for a host: did you mean binding?"])
    let plain = try Job(try read("--udp turns:a.test")).outcome.hints
    #expect(plain == ["turns: means TLS or DTLS; over plain UDP nothing was encrypted"])
    #expect(try Job(try read("--dtls turns:a.test")).outcome.hints == [])
    #expect(try read("stun").uri.hints == [] && read("pingu 3478").uri.port == 3478)
    #expect(try read("help").command == .help)
    #expect(try read("--version").command == .version)
    #expect(try read("ping --help").topic == .ping && read("help relay").topic == .relay && read("help").topic == nil)
    #expect(try read("--mode basic a.test 3478").command == .binding)
    #expect(try read("--mode full a.test").command == .nat && read("--mode behavior a.test").command == .nat)
    #expect(try read("--ice-servers x").iceServers == "x")
    #expect(try read("credentials turn:a turns:b").operands == ["turn:a", "turns:b"])
  }

  @Test("Without a target the environment's is taken, and only for commands that ask a server")
  func environmentTarget() throws {
    let target = "turn:a.test:7"
    #expect(try Arguments(["--check"], target: target).uri.description == target)
    #expect(try Arguments(["--check"], target: target).command == .relay)
    #expect(try Arguments(["ping"], target: target).command == .ping)
    #expect(try Arguments(["b.test"], target: target).uri.description == "stun:b.test")
    #expect(try Arguments(["decode"], target: target).operands == [])
    #expect(try Arguments(["--ice-servers", "x"], target: target).command == .relay)
    #expect(throws: UsageError.self) { try Arguments(["--check"], target: "turn:") }
  }

  @Test("Options are read in both forms, before and after operands")
  func options() throws {
    let all = try read(
      "binding -6 --tcp --count=5 --interval 0.25 --timeout 2.5 a.test --warn-rtt 1.5 --warn-loss 2.5 --min-days 14 99")
    #expect(all.family == .ipv6)
    #expect(all.transport == .tcp)
    #expect(all.count == 5)
    #expect(all.interval == .milliseconds(250))
    #expect(all.timeout == .milliseconds(2500))
    #expect(all.thresholds.roundTrip == .microseconds(1500))
    #expect(all.thresholds.loss == 25)
    #expect(all.thresholds.days == 14)
    #expect(all.uri.port == 99)
    #expect(try read("--protocol tls --family 6 --localaddr ::1 --localport 77 a.test").localPort == 77)
    #expect(try read("--dns-server [::1]:5353 a.test").nameServer?.description == "[::1]:5353")
    #expect(try read("--dns-server 127.0.0.1 a.test").nameServer?.port == 53)
    #expect(try read("relay --relay-family 6 turn:a.test").relayFamily == .ipv6)
    #expect(try read("-- a.test").uri.description == "stun:a.test")
  }

  @Test(
    "The message for wrong usage names the mistake",
    arguments: [
      ("", "there is no TARGET"), ("binding", "there is no TARGET"), ("a b c", "\"c\" is one word too many"),
      ("a.test 0", "\"0\" is no port (1 to 65535)"), ("stun:a.test:1 2", "two different ports are given"),
      ("--count 0 a.test", "--count 0: write a number from 1 to 1000000000"),
      ("--count 1.5 a.test", "--count 1.5: write a number from 1 to 1000000000"),
      ("--count 1000001 a.test", "--count 1000001: binding keeps all answers, up to 1000000; ping has no such limit"),
      ("--count", "--count needs a value: N"), ("--json=yes a.test", "--json takes no value"),
      ("--interval 0 a.test", "--interval 0: write a number from 0.001 to 3600"),
      ("--timeout .5 a.test", "--timeout .5: write a number from 0.01 to 3600"),
      ("--warn-rtt -1 a.test", "--warn-rtt -1: write a number from 0 to 1000000"),
      ("--frobnicate a.test", "unknown option --frobnicate"),
      ("--cuont 3 a.test", "unknown option --cuont: did you mean --count?"),
      ("bogus --help", "there is no command \"bogus\""),
      ("--help bindng", "there is no command \"bindng\": did you mean binding?"),
      ("realy turn:a.test", "there is no command \"realy\": did you mean relay?"),
      ("help secuirty", "help secuirty: there is no such command: did you mean security?"),
      ("--relay-family 5 a.test", "--relay-family 5: write 4 or 6"),
      ("nat --count 2 a.test", "--count is for binding, relay, ping"),
      ("--lifetime 9 a.test", "--lifetime is for nat"), ("--ttl 9 turn:a.test", "--ttl is for credentials"),
      ("ping --ice-servers x", "--ice-servers is for binding, relay"),
      ("--ice-servers x a.test", "--ice-servers and a TARGET: give only one"),
      ("--mode odd a.test", "--mode odd: write basic, behavior, filtering or full"),
      ("--mode full ping a.test", "--mode full is for binding, nat"),
      ("nat --tls a.test", "NAT behaviour can be tested over UDP or TCP only"),
      ("--mode filtering --tcp a.test", "--mode filtering is for UDP: over TCP filtering can't be tested"),
      ("nat --lifetime 5 --tcp a.test", "--lifetime is for UDP"),
      ("--protocol sctp a.test", "--protocol sctp: write udp, tcp, tls or dtls"),
      ("--dns-server x a.test", "--dns-server x: an address, with a port if it is not 53"),
      ("--ice-servers - --password-file -", "standard input can be read once only"),

      ("--ca x --insecure a.test", "--ca and --insecure contradict each other"),
      ("--password-file a --secret-file b turn:a.test", "--password-file and --secret-file: give only one"),
      ("ping", "there is no TARGET"),
      (
        "stun:b\u{FC}cher.example",
        "stun:b\u{FC}cher.example: \"b\u{FC}cher.example\" is neither a host name nor an "
          + "address; international names are written in ASCII (xn--…)"
      ),
      ("turn:[::1", "turn:[::1: \"[\" without \"]\""),
      ("turn:ann:secret@a.test", "turn:***@a.test: a URI has no user name: use --username"),
      ("a.test 5 turn:ann:secret@b", "\"turn:***@b\" is one word too many"),
    ])
  func wrongUsage(line: String, message: String) {
    let error = #expect(throws: UsageError.self) { try read(line) }
    #expect(error?.message == message)
  }

  @Test("Mutated command lines are read or refused", .tags(.slow))
  func mutated() {
    let seed: UInt64 = 0xA265_0001
    var random = SplitMix(state: seed)
    let words = [
      "binding", "relay", "--count", "5", "--interval=0.2", "--warn-rtt", "1.5", "turn:a.test:3478?transport=tcp", "-6",
      "--",
      "--mode", "full", "--ice-servers", "-", "--dns-server", "[::1]:5", "nat", "ping", "decode", "credentials",
      "--protocol=tls", "--localport", "fe80::1%eth0", "--family", "help",
      "--min-days", "99", "stun:[::1]", "--json", "--username", "", "=", "--=", "-", "99999999999999999999999",
    ]
    var good = 0
    for _ in 0..<100_000 {
      var line = (0..<Int.random(in: 0..<6, using: &random)).map { _ in words.randomElement(using: &random) ?? "" }
      if !line.isEmpty, Bool.random(using: &random) {
        let index = Int.random(in: 0..<line.count, using: &random)
        var bytes = Array(line[index].utf8)
        if !bytes.isEmpty {
          bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        line[index] = String(decoding: bytes, as: UTF8.self)
      }
      if (try? Arguments(line)) != nil { good += 1 }
    }
    #expect(good > 1000, "seed \(seed)")
  }
}

@Suite("stunclient's numbers")
struct FigureTests {
  @Test(
    "Decimals have no trailing zeros",
    arguments: [
      (0, 3, "0"), (1, 3, "0.001"), (1250, 3, "1.25"), (1000, 3, "1"), (25, 1, "2.5"), (7, 0, "7"),
      (UInt64.max, 3, "18446744073709551.615"),
    ] as [(UInt64, Int, String)])
  func decimals(value: UInt64, decimals: Int, text: String) {
    #expect(Decimal.text(value, decimals) == text)
  }

  @Test("Percentiles are of the nearest rank")
  func percentiles() throws {
    let one = try #require(Statistics([.seconds(7)]))
    #expect(one.percentile(50) == .seconds(7) && one.percentile(99) == .seconds(7))
    let hundred = try #require(Statistics((1...100).reversed().map { .seconds($0) }))
    #expect(hundred.percentile(50) == .seconds(50))
    #expect(hundred.percentile(99) == .seconds(99))
    #expect(hundred.minimum == .seconds(1) && hundred.maximum == .seconds(100))
    #expect(hundred.mean == .milliseconds(50_500))
    #expect(Statistics([]) == nil)
  }

  @Test("Text from a server cannot break a line or forge numbers")
  func hostileText() {
    var outcome = Outcome(command: "binding", uri: "stun:a")
    outcome.metrics = [Metric(name: "x", help: "h", labels: [("l", "a\"b\nc\\")], value: 0.25)]
    #expect(
      Prometheus.text([outcome], time: UnixTime(seconds: 7)).hasSuffix(
        "stunclient_x{command=\"binding\",target=\"stun:a\",l=\"a\\\"b?c\\\\\"} 0.25\n"))
    outcome.metrics = []
    outcome.summary = "soft\u{1B}[31mware\nOK | rtt=0"
    outcome.performance = ["rtt=1ms;;;0;"]
    #expect(outcome.checkLine == "OK: binding soft?[31mware?OK / rtt=0 | rtt=1ms;;;0;")
    outcome.warnings = ["slow"]
    #expect(outcome.status == .warning)
    #expect(outcome.checkLine.hasPrefix("WARNING: "))
  }
}

@Suite("stunclient's help")
struct UsageTests {
  @Test("Every help page fits 24 lines of 80 columns and names its command's options")
  func pages() {
    for topic in [nil] + Arguments.Command.allCases.map(Optional.some) {
      let text = Usage.text(topic)
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
      #expect(lines.count <= 24, "\(String(describing: topic)): \(lines.count) lines")
      for line in lines { #expect(line.count <= 80, "\(line)") }
      // Options of few commands are in the help of these commands.
      for option in Arguments.table.options {
        let commands = option.commands
        guard let topic, commands.contains(topic), commands.count < 4 || !commands.contains(.nat) else { continue }
        #expect(text.contains(option.name), "\(option.name) on the page of \(topic)")
      }
    }
  }

  @Test("The manual has every command")
  func manual() throws {
    let manual = try Paths.text("docs/man/stunclient.1")
    for command in Arguments.Command.allCases where command != .help && command != .version {
      #expect(manual.contains(".It Cm \(command.rawValue)"))
    }
  }
}

@Suite("Configurations of RTCPeerConnection")
struct IceServersTests {
  @Test("Every form of a configuration is read, with hints about errors that browsers refuse")
  func forms() throws {
    let text = """
      {"iceTransportPolicy": "relay", "iceServers": [
        {"urls": "stun:stun.test"},
        {"urls": ["turn:turn.test?transport=tcp", "turns:192.0.2.1"], "username": "u", "credential": "p"},
        {"url": "turn.test:3478"},
        {"urls": ["turn:turn.test"], "username": "kid", "credentialType": "oauth",
         "credential": {"macKey": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "accessToken": "AAAA"}}]}
      """
    let servers = try IceServerList.parse(try JSONValue.decode(text))
    #expect(
      servers.map(\.uri.description) == [
        "stun:stun.test", "turn:turn.test?transport=tcp", "turns:192.0.2.1", "stun:turn.test:3478", "turn:turn.test",
      ])
    #expect(
      servers.map(\.path) == [
        "iceServers[0].urls", "iceServers[1].urls[0]", "iceServers[1].urls[1]", "iceServers[2].urls",
        "iceServers[3].urls[0]",
      ])
    #expect(servers[1].credential == LongTermCredential(username: "u", password: "p"))
    #expect(servers[0].credential == nil && servers[4].credential?.accessToken == [0, 0, 0])
    #expect(servers[2].uri.hints == ["Firefox refuses turns: URLs with an address: give a name"])
    #expect(servers[3].uri.hints == ["browsers refuse a URL without stun:, turn: or turns:"])
    let bare = try IceServerList.parse(try JSONValue.decode("{\"urls\": \"turn:a.test\"}"))
    #expect(bare.first?.uri.hints == ["browsers refuse turn: URLs without username and credential"])
  }

  @Test("A password in a URL is not repeated")
  func password() throws {
    let document = try JSONValue.decode("{\"urls\": [\"stun:a\", \"turn:ann:secret@a.test\"]}")
    let error = #expect(throws: UsageError.self) { try IceServerList.parse(document) }
    let words = "turn:***@a.test: a URI has no user name: use --username"
    #expect(error?.message == "iceServers[0].urls[1]: \(words)")
  }

  @Test("Mutated configurations are read or refused")
  func mutated() throws {
    let seed: UInt64 = 0x1CE5_0001
    var random = SplitMix(state: seed)
    let base = Array(
      "{\"iceServers\":[{\"urls\":[\"turn:a.test\",\"stun:[::1]:9\"],\"username\":\"u\",\"credential\":\"p\"}]}".utf8)
    var good = 0
    for _ in 0..<50_000 {
      var bytes = base
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let index = Int.random(in: 0..<bytes.count, using: &random)
        if Bool.random(using: &random) {
          bytes[index] = UInt8.random(in: 0...255, using: &random)
        } else {
          bytes.remove(at: index)
        }
      }
      if let document = try? JSONValue.decode(bytes), (try? IceServerList.parse(document)) != nil { good += 1 }
    }
    #expect(good > 1000, "seed \(seed)")
  }
}

@Suite("stunclient decode")
struct DecodeTests {
  @Test("Messages beyond the document's limit are omitted with a warning")
  func limit() throws {
    let request = "000100002112a442b7e7a701bc34d686fa87dfae"
    for (limit, kept, status) in [(2, 2, ExitStatus.warning), (3, 3, .good), (DecodeCommand.messageLimit, 3, .good)] {
      let arguments = try Arguments(["decode", "--json", request, request, request])
      let outcome = try DecodeCommand.run(arguments, messageLimit: limit)
      #expect(outcome.json["messages"]?.array?.count == kept && outcome.json["message_count"] == .integer(3))
      #expect(outcome.status == status)
      let warning = "only the first 2 messages are in the document, without 1 more; --ndjson has them all"
      #expect(outcome.warnings == (limit == 2 ? [warning] : []))
    }
  }
}
