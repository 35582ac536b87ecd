import ClientIO
import Foundation
import NetworkTypes
import STUN
import Synchronization
import Testing
import TestSupport

extension ProgramTests {
  /// The program's documents must have exactly the keys in docs/stunclient.md.
  @Test("docs/stunclient.md documents every JSON key and every failure reason", .tags(.slow))
  func documentedKeys() throws {
    let page = try Paths.text("docs/stunclient.md")
    for reason in CheckFailure.Reason.allCases { #expect(page.contains("`\(reason.rawValue)`"), "\(reason)") }
    let coturn = try Coturn(port: 24180, ["-L", "127.0.0.2", "--alt-listening-port", "24190"])
    let commands = [
      ["--insecure", "stuns:127.0.0.1:24181"], ["--insecure", "--count", "2", "turns:127.0.0.1:24181"],
      ["ping", "--count", "2", "--interval", "0.01", "127.0.0.1:24180"], ["nat", "--lifetime", "2", "127.0.0.1:24180"],
      ["security", "turn:127.0.0.1:24180"], ["decode", "000100002112a442b7e7a701bc34d686fa87dfae"],
      ["127.0.0.1:24189"],
    ]
    for command in commands {
      let run = try Run(["--json"] + command, environment: command.first == "decode" ? [:] : Self.alice)
      var keys: Set<String> = []
      collect(try document(run), &keys)
      for key in keys { #expect(page.contains("`\(key)`"), "\(key) of \(command)") }
    }
    withExtendedLifetime(coturn) {}
  }

  @Test("docs/stunclient.md documents every key and event of NDJSON lines and of credentials", .tags(.slow))
  func documentedEvents() throws {
    let page = try Paths.text("docs/stunclient.md")
    let coturn = try Coturn(port: 24196, ["-L", "127.0.0.2", "--alt-listening-port", "24198"])
    let silent = try FakeServer(.udp { _ in [] })
    let counter = Counter()
    let refusing = try FakeServer(
      .udp { counter.next() > 1 ? respond(to: $0, error: .serverError) : generous($0) + generous($0) })
    defer {
      silent.stop()
      refusing.stop()
    }
    let commands = [
      ["--count", "2", "--interval", "0.01", "127.0.0.1:24196"], ["--timeout", "0.1", "\(silent.address)"],
      ["--count", "2", "--interval", "0.01", "turn:127.0.0.1:24196"],
      ["ping", "--count", "2", "--timeout", "0.1", "--interval", "0.01", "\(silent.address)"],
      ["ping", "--count", "3", "--interval", "0.01", "\(refusing.address)"], ["nat", "127.0.0.1:24196"],
      ["security", "turn:127.0.0.1:24196"], ["decode", "000100002112a442b7e7a701bc34d686fa87dfae"],
    ]
    var events: Set<String> = []
    for command in commands {
      let run = try Run(["--ndjson"] + command, environment: command.first == "decode" ? [:] : Self.alice)
      for line in try lines(run) {
        let event = try #require(line["event"] as? String)
        events.insert(event)
        #expect(page.contains("`\(event)`"), "\(event) of \(command)")
        // The page names every key; the rows of these three events name the keys of their lines.
        let row = page.split(separator: "\n").last { $0.hasPrefix("| `\(event)`") }
        var keys: Set<String> = []
        collect(line, &keys)
        for key in keys { #expect(page.contains("`\(key)`"), "\(key) of \(command)") }
        if ["answer", "no-answer", "refused"].contains(event) {
          for key in line.keys where key != "event" { #expect(row?.contains("`\(key)`") == true, "\(key) of \(event)") }
        }
      }
    }
    #expect(
      events.isSuperset(of: [
        "answer", "no-answer", "refused", "duplicate", "lost", "step", "test", "finding", "message", "result",
      ]), "\(events)")
    let paragraph = try #require(
      page.components(separatedBy: "**`credentials`**").last?.components(separatedBy: "\n\n")[0])
    for uris in [[], ["turn:a.test"]] {
      let run = try Run(["credentials"] + uris, environment: ["STUNCLIENT_SECRET": "s3cret"])
      var keys: Set<String> = []
      collect(try document(run), &keys)
      for key in keys { #expect(paragraph.contains("`\(key)`"), "\(key)") }
    }
    withExtendedLifetime(coturn) {}
  }

  /// Collects a document's keys, except those under `unknown` and `frames`, which are data.
  private func collect(_ value: Any, _ keys: inout Set<String>) {
    if let object = value as? [String: Any] {
      for (key, inner) in object {
        keys.insert(key)
        if key != "unknown", key != "frames" { collect(inner, &keys) }
      }
    } else if let array = value as? [Any] {
      for inner in array { collect(inner, &keys) }
    }
  }

  @Test("nat reports the behaviour on loopback, and each null has its reason", .tags(.slow))
  func natOnLoopback() throws {
    let coturn = try Coturn(port: 24184, ["-L", "127.0.0.2", "--alt-listening-port", "24194"])
    let found = try document(try Run(["nat", "--json", "127.0.0.1:24184"]))
    #expect(found["mapping"] as? String == "direct" && found["nat"] as? Bool == false)
    #expect(found["filtering"] as? String == "endpoint-independent" && found["alg"] as? Bool == false)
    let simple = try FakeServer(.udp(generous))
    defer { simple.stop() }
    let other = try document(try Run(["nat", "--json", "\(simple.address)", "--timeout", "1"]))
    #expect(other["mapping"] is NSNull && other["filtering"] is NSNull)
    #expect(Set(other.keys) == Set(found.keys))
    // Without an answer every key is present, and each null is documented.
    let silent = try FakeServer(.udp { _ in [] })
    defer { silent.stop() }
    for arguments in [["\(silent.address)", "--timeout", "0.6"], ["127.0.0.1:24199"]] {
      let failed = try document(try Run(["nat", "--json"] + arguments))
      #expect(failed["status"] as? String == "failed" && Set(failed.keys) == Set(found.keys))
      let unknown = try #require(failed["unknown"] as? [String: String])
      #expect(Set(failed.filter { $0.value is NSNull && $0.key != "resolution" }.keys) == Set(unknown.keys))
      let message = try #require((failed["failure"] as? [String: Any])?["message"] as? String)
      #expect(unknown["mapping"] == message)
    }
    // One request is counted as one in text and in JSON.
    let once = try document(try Run(["--json", "\(silent.address)", "--timeout", "0.6"]))
    #expect(once["sent"] as? Int == 1)
    let words = (once["failure"] as? [String: Any])?["message"] as? String
    #expect(words?.hasSuffix("no answer to 1 request, sent 2 times within 600 ms") == true, "\(words ?? "")")
    let reasons = try #require(other["unknown"] as? [String: String])
    #expect(reasons["mapping"]?.contains("no OTHER-ADDRESS") == true)
    withExtendedLifetime(coturn) {}
  }
}
