import ClientIO
import Foundation
import NetworkTypes
import STUN
import Synchronization
import Testing
import TestSupport

extension ProgramTests {
  @Test("decode reads arguments, standard input, files and captures, and explains invalid input")
  func decode() throws {
    let request = "000100002112a442b7e7a701bc34d686fa87dfae"
    for (arguments, input) in [
      ([request], nil), (["-"], request), ([], "0001 0000\n2112a442 b7e7a701bc34d686fa87dfae\n"),
    ]
      as [([String], String?)]
    {
      let run = try Run(["decode"] + arguments, input: input)
      #expect(run.status == 0, "\(run.error)")
      #expect(run.output.hasPrefix("1  Binding request, 20 bytes\n"))
    }
    let capture = Paths.repository("Tests/Corpora/relay-udp-tcp.pcapng")
    let good = try Run(["decode", "--json", capture], environment: ["STUNCLIENT_PASSWORD": "secret"])
    let found = try document(good)
    #expect(good.status == 0 && found["message_count"] as? Int == 32)
    #expect((found["messages"] as? [[String: Any]])?.count == 32)
    let wrong = try Run(["decode", capture], environment: ["STUNCLIENT_PASSWORD": "guess"])
    #expect(wrong.status == 2 && wrong.output.contains("does not fit this password [integrity]"))
    #expect(try Run(["decode", "16fefd00"]).output.contains("[not-stun]"))
    #expect(try Run(["decode", "/nonexistent"]).error.contains("/nonexistent: neither hexadecimal nor a file"))
    #expect(try Run(["decode", "-"], input: "\u{0A}\u{0D}\u{0D}\u{0A}").status == 3)
    #expect(try lines(try Run(["decode", "--ndjson", capture])).count == 33)
  }
}

extension ProgramTests {
  /// RFC 5769 section 2.4: the password before SASLprep, with a soft hyphen and a Roman numeral.
  static let japanese =
    "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b900000015001c"
    + "662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f726700"
    + "00080014f67024656dd64a3e02b8e0712e85c9a28ca89666"

  @Test("decode prepares the password, and options take precedence over the environment")
  func decodeCredentials() throws {
    let typed = "The\u{AD}M\u{AA}tr\u{2168}"
    let file = FileManager.default.temporaryDirectory.appending(path: "password-\(UInt64.random(in: 0 ... .max))")
    try Data((typed + "\n").utf8).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let good: [([String], [String: String])] = [
      ([], ["STUNCLIENT_PASSWORD": typed]), ([], ["STUNCLIENT_PASSWORD": "TheMatrIX"]),
      (["--password-file", file.path], [:]), (["--password-file", file.path], ["STUNCLIENT_SECRET": "other"]),
      (["--password-file", file.path], ["STUNCLIENT_PASSWORD": "other"]),
      (["--password-file", file.path], ["STUNCLIENT_PASSWORD": "other", "STUNCLIENT_SECRET": "other"]),
    ]
    for (arguments, environment) in good {
      let run = try Run(["decode"] + arguments + [Self.japanese], environment: environment)
      #expect(run.status == 0, "\(arguments) \(environment): \(run.output)\(run.error)")
      #expect(run.output.contains("right (long-term credential, MD5)"))
    }
    let bad = try Run(
      ["decode", "--secret-file", file.path, Self.japanese], environment: ["STUNCLIENT_PASSWORD": typed])
    #expect(bad.status == 2 && bad.output.contains("[integrity]"))
    let both = try Run(
      ["decode", Self.japanese], environment: ["STUNCLIENT_PASSWORD": typed, "STUNCLIENT_SECRET": "other"])
    #expect(both.status == 3 && both.error.contains("are both set: set only one"))
  }
}

extension ProgramTests {
  @Test("security reports for each peer address whether coturn relays to it", .tags(.slow))
  func security() throws {
    let open = try Coturn(port: 24160)
    let run = try Run(["security", "--json", "turn:127.0.0.1:24160"], environment: Self.alice)
    #expect(run.status == 2)
    let found = try document(run)
    #expect((found["failure"] as? [String: Any])?["reason"] as? String == "let-through")
    let findings = try #require(found["findings"] as? [[String: String]])
    func verdict(_ check: String, _ subject: String) -> String? {
      findings.first { $0["check"] == check && $0["subject"]?.hasPrefix(subject) == true }?["verdict"]
    }
    // This coturn allows loopback by an option, and private peers by default.
    #expect(
      findings.first { $0["subject"] == "127.0.0.1 (loopback)" }?["detail"]
        == "CreatePermission succeeds, and data arrives")
    #expect(verdict("peer", "10.0.0.1") == "let-through" && verdict("peer", "169.254.169.254") == "let-through")
    #expect(verdict("peer", "0.0.0.0") == "refused" && verdict("anonymous", "Allocate") == "refused")
    #expect(verdict("wrong-password", "Allocate") == "refused" && verdict("replay", "a recorded") == "refused")
    #expect(verdict("unsigned-refresh", "Refresh") == "refused")
    let counts = ["refused", "let_through", "unknown", "not_applicable"].compactMap { found[$0] as? Int }
    #expect(counts.reduce(0, +) == findings.count)

    // Tests that neither of two users can use the other's allocation. One user alone cannot test this; a shared secret
    // can make two users.
    let second = ["STUNCLIENT_SECOND_USERNAME": "bob", "STUNCLIENT_SECOND_PASSWORD": "hunter2"]
    let two = try Coturn(port: 24204, ["-u", "bob:hunter2"])
    let rest = try Coturn(port: 24208, users: false, ["--use-auth-secret", "--static-auth-secret", "s3cret"])
    for (port, environment, text) in [
      (
        24204, Self.alice.merging(second) { $1 },
        "refused       other-user       Refresh of one user's allocation by another: 441 "
      ),
      (
        24208, ["STUNCLIENT_SECRET": "s3cret"],
        "refused       other-user       CreatePermission of one user's allocation by another: 441 "
      ),
      (
        24160, Self.alice,
        "doesn't apply other-user       Refresh of one user's allocation by another: skipped: two users"
      ),
    ] {
      let run = try Run(["security", "turn:127.0.0.1:\(port)"], environment: environment)
      #expect(run.output.contains(text), "\(run.output)\(run.error)")
    }
    #expect(
      try Run(["security", "--second-username", "bob", "turn:127.0.0.1:24204"], environment: Self.alice).error
        .contains("a second user name was given but no password: set STUNCLIENT_SECOND_PASSWORD or use"))
    withExtendedLifetime((two, rest)) {}

    let anonymous = try Coturn(port: 24164, users: false, ["--no-auth"])
    let anybody = try Run(["security", "turn:127.0.0.1:24164"])
    #expect(anybody.status == 2)
    #expect(
      anybody.output.contains("LET THROUGH   anonymous        Allocate without credentials: every client gets a relay"))
    let unknown = try Run(["security", "--check", "turn:127.0.0.1:24160"])
    #expect(unknown.status == 2 && unknown.output.contains("[credentials-needed]"))
    withExtendedLifetime((open, anonymous)) {}
  }

  @Test("Every failure prints a likely cause")
  func likelyCauses() throws {
    let coturn = try Coturn(port: 24170)
    let cases: [[String]] = [
      ["127.0.0.1:24179"], ["--tcp", "127.0.0.1:24179"], ["stun:no-such-host.invalid"], ["stuns:127.0.0.1:24171"],
      ["turn:127.0.0.1:24170"], ["--localaddr", "127.0.0.1", "--localport", "24170", "127.0.0.1:24170"],
      ["--timeout", "0.1", "--udp", "127.0.0.1:1"],
    ]
    for arguments in cases {
      let found = try document(try Run(["--json", "--timeout", "1"] + arguments))
      let failure = try #require(found["failure"] as? [String: Any], "\(arguments)")
      #expect((failure["likely_cause"] as? String)?.isEmpty == false, "\(arguments): \(failure)")
    }
    withExtendedLifetime(coturn) {}
  }
}
