import CommandLine
import Foundation
import LoadGeneration
import TestSupport
import Testing

@testable import turnload

@Suite("turnload's command line")
struct ArgumentsTests {
  @Test("Every command and option is read")
  func everyOption() throws {
    let words = """
      relay --direction echo --indications --size=1200 --allocations 100 --burst 8 --rate 20000 --duration 1.5
      --warm-up 0 --gso --gro --max-loss 0.1 --server-pid 7,8,9 --server-core 0 --username u --insecure --json turn:127.0.0.1
      """
    let arguments = try Arguments(words.split(whereSeparator: \.isWhitespace).map(String.init))
    #expect(arguments.command == .load(.relay))
    #expect(arguments.direction == .echo)
    #expect(arguments.usesIndications && arguments.segments && arguments.coalesces && arguments.isJSON)
    #expect(arguments.size == 1200 && arguments.allocations == 100 && arguments.burst == 8)
    #expect(arguments.pace == .rate(20_000))
    #expect(arguments.duration == .milliseconds(1500) && arguments.warmUp == .zero)
    #expect(arguments.maximumLoss == 10)
    #expect(arguments.serverProcess == 7 && arguments.serverHelpers == [8, 9] && arguments.serverCore == 0)
  }

  @Test("relay is the default command")
  func defaultCommand() throws {
    #expect(try Arguments(["127.0.0.1"]).command == .load(.relay))
    #expect(try Arguments(["floor"]).command == .load(.floor))
    #expect(try Arguments(["floor", "--rate", "20000"]).pace == .rate(20_000))
  }

  @Test(
    "Wrong usage is refused",
    arguments: [
      "", "relay", "--rate 5", "a b", "--nonsense x", "--rate x 127.0.0.1", "--rate 0 127.0.0.1", "--size 15 127.0.0.1",
      "--size 1401 127.0.0.1", "--burst 65 127.0.0.1", "--burst", "--json=yes 127.0.0.1", "-x 127.0.0.1",
      "--direction up 127.0.0.1", "--transport sctp 127.0.0.1", "binding --direction echo 127.0.0.1",
      "hold --rate 5 127.0.0.1", "floor --window 5", "binding --indications 127.0.0.1",
      "relay-to-relay --allocations 3 127.0.0.1",
      "--gso --transport tcp 127.0.0.1", "binding --gso 127.0.0.1", "--insecure --ca f 127.0.0.1",
      "--password-file a --secret-file b 127.0.0.1", "http://x", "--duration 0.0001 127.0.0.1",
    ])
  func wrongUsage(words: String) {
    #expect(throws: UsageError.self) { try Arguments(words.split(separator: " ").map(String.init)) }
  }

  @Test(
    "A public server is refused without --i-own-this-server",
    arguments: ["203.0.113.1", "8.8.8.8", "[2001:db8::1]", "172.32.0.1", "11.0.0.1"])
  func publicServer(host: String) throws {
    let arguments = try Arguments(["binding", "stun:\(host)"])
    #expect(throws: UsageError.self) { try Preparation.plan(arguments, .binding) }
    let owned = try Arguments(["binding", "--i-own-this-server", "stun:\(host)"])
    #expect(throws: Never.self) { try Preparation.plan(owned, .binding) }
  }

  @Test(
    "A private or loopback server needs no confirmation",
    arguments: ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "[::1]", "[fd00::1]"])
  func privateServer(host: String) throws {
    let arguments = try Arguments(["binding", "stun:\(host)"])
    #expect(throws: Never.self) { try Preparation.plan(arguments, .binding) }
  }

  @Test("A misspelt option gets a suggestion")
  func suggestions() throws {
    func message(_ line: String) -> String? {
      #expect(throws: UsageError.self) { try Arguments(line.split(separator: " ").map(String.init)) }?.message
    }
    #expect(message("help bogus") == "there is no command \"bogus\"")
    #expect(try Arguments(["help"]).command == .help && Arguments(["help", "relay"]).command == .help)
    #expect(message("bogus --help") == "there is no command \"bogus\"")
    #expect(message("--help bindng") == "there is no command \"bindng\": did you mean binding?")
    #expect(message("realy 127.0.0.1") == "there is no command \"realy\": did you mean relay?")
    #expect(message("--sise 5 127.0.0.1") == "unknown option --sise: did you mean --size?")
    #expect(try Arguments(["relay", "--help"]).command == .help && Arguments(["127.0.0.1", "-h"]).command == .help)
    let arguments = try Arguments(["nowhere.invalid"])
    let unresolved = try Preparation.plan(arguments, .relay).failure
    #expect(
      unresolved?.message.hasPrefix("nowhere.invalid: no such host name") == true && unresolved?.likelyCause != nil)
  }

  @Test("Each help text fits a screen")
  func helpSize() {
    let lines = Usage.text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    #expect(lines.count <= 23)
    for line in lines { #expect(line.count <= 80, "\(line)") }
  }

  @Test("The help names every option")
  func helpOptions() {
    for option in Arguments.table.options { #expect(Usage.text.contains(option.name), "\(option.name)") }
  }
}
