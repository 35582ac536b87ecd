import ClientPrograms
import Foundation
import LoadGeneration
import TestSupport
import Testing

@testable import turnload

@Suite struct ArgumentsTests {
  @Test func everythingIsUnderstood() throws {
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
    #expect(arguments.duration == 1500 && arguments.warmUp == 0)
    #expect(arguments.maximumLoss == 10)
    #expect(arguments.serverProcess == 7 && arguments.serverHelpers == [8, 9] && arguments.serverCore == 0)
  }

  @Test func relayIsTheDefault() throws {
    #expect(try Arguments(["127.0.0.1"]).command == .load(.relay))
    #expect(try Arguments(["floor"]).command == .load(.floor))
    #expect(try Arguments(["floor", "--rate", "20000"]).pace == .rate(20_000))
  }

  @Test(arguments: [
    "", "relay", "--rate 5", "a b", "--nonsense x", "--rate x 127.0.0.1", "--rate 0 127.0.0.1", "--size 15 127.0.0.1",
    "--size 1401 127.0.0.1", "--burst 65 127.0.0.1", "--burst", "--json=yes 127.0.0.1", "-x 127.0.0.1",
    "--direction up 127.0.0.1", "--transport sctp 127.0.0.1", "binding --direction echo 127.0.0.1",
    "hold --rate 5 127.0.0.1", "floor --window 5", "binding --indications 127.0.0.1", "relay-to-relay --allocations 3 127.0.0.1",
    "--gso --transport tcp 127.0.0.1", "binding --gso 127.0.0.1", "--insecure --ca f 127.0.0.1",
    "--password-file a --secret-file b 127.0.0.1", "http://x", "--duration 0.0001 127.0.0.1",
  ])
  func wrongUsageIsRefused(words: String) {
    #expect(throws: UsageError.self) { try Arguments(words.split(separator: " ").map(String.init)) }
  }

  @Test(arguments: ["203.0.113.1", "8.8.8.8", "[2001:db8::1]", "172.32.0.1", "11.0.0.1"])
  func somebodyElsesServerIsNotLoaded(host: String) throws {
    let arguments = try Arguments(["binding", "stun:\(host)"])
    #expect(throws: UsageError.self) { try Preparation.plan(arguments, .binding) }
    let owned = try Arguments(["binding", "--i-own-this-server", "stun:\(host)"])
    #expect(throws: Never.self) { try Preparation.plan(owned, .binding) }
  }

  @Test(arguments: ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "[::1]", "[fd00::1]"])
  func serversOfOnesOwnNeedNoWord(host: String) throws {
    let arguments = try Arguments(["binding", "stun:\(host)"])
    #expect(throws: Never.self) { try Preparation.plan(arguments, .binding) }
  }

  @Test func whatWasMeantIsGuessed() throws {
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
    #expect(unresolved?.message.hasPrefix("nowhere.invalid: no such host name") == true && unresolved?.likelyCause != nil)
  }

  @Test func helpFitsAScreen() {
    let lines = Usage.text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    #expect(lines.count <= 23)
    for line in lines { #expect(line.count <= 80, "\(line)") }
  }

  @Test func everyOptionIsInTheHelpTheManualAndTheCompletions() throws {
    let manual = try Places.text("docs/man/turnload.1")
    let completions = try ["bash/turnload", "zsh/_turnload", "fish/turnload.fish"].map {
      try Places.text("deploy/completions/" + $0)
    }
    for option in Arguments.options {
      #expect(Usage.text.contains(option))
      #expect(manual.contains("Fl -" + option.dropFirst(2)), "\(option)")
      #expect(completions[0].contains(option) && completions[1].contains(option), "\(option)")
      #expect(completions[2].contains("-l \(option.dropFirst(2)) "), "\(option)")
    }
  }
}
