@testable internal import Configuration
internal import Crypto
internal import TestSupport
internal import Testing

@Suite("Mutated configurations")
struct MutationTests {
  @Test("100,000 mutated documents are read or refused, and never trap", .tags(.slow), arguments: [UInt8](0..<4))
  func mutatedDocuments(seed: UInt8) {
    var random = SeededGenerator(seed: [seed, 0x59, 0x41, 0x4D, 0x4C])
    let corpus = documents.map { Array($0.utf8) }
    var refused = 0
    let current = Current()
    let files = ConfigurationReader(environment: [:]) { path in
      guard path == "t.yml" else { throw NoSuchFile() }
      return current.bytes
    }
    for round in 0..<25_000 {
      var bytes = corpus[Int(random.next(below: UInt64(corpus.count)))]
      for _ in 0...random.next(below: 4) { mutate(&bytes, &random) }
      let isFile = round % 16 != 0
      current.bytes = bytes
      let parsed: ParsedConfiguration
      if isFile {
        parsed = files.parse(file: "t.yml", overrides: [])
      } else {
        let text = String(decoding: bytes, as: UTF8.self)
        parsed = parse(
          environment: ["TURNPIKE_REALMS": text, "TURNPIKE_LISTENERS": text], set: [text, "auth.oauth-keys=\(text)"])
      }
      for problem in parsed.problems where problem.severity == .error {
        // Every error has a position, and its text is one line.
        if problem.origin == nil || problem.description.contains("\n") {
          Issue.record("seed \(seed), round \(round): \(problem)")
        }
      }
      if parsed.problems.contains(where: { $0.severity == .error }) { refused += 1 }
    }
    // Some mutations must be refused and some accepted.
    #expect((2_500..<25_000).contains(refused))
  }

  private func mutate(_ bytes: inout [UInt8], _ random: inout SeededGenerator) {
    let position = Int(random.next(below: UInt64(bytes.count + 1)))
    switch random.next(below: 6) {
    case 0 where position < bytes.count:
      bytes[position] ^= 1 << UInt8(random.next(below: 8))
    case 1 where position < bytes.count:
      bytes.remove(at: position)
    case 2:
      bytes.insert(UInt8(random.next(below: 256)), at: position)
    case 3:
      let hostile = Array("[]{}:,-?&*!|>'\"%@`#~\n\t \\".utf8)
      bytes.insert(hostile[Int(random.next(below: UInt64(hostile.count)))], at: position)
    case 4:
      bytes.removeSubrange(position...)
    default:
      let from = Int(random.next(below: UInt64(bytes.count + 1)))
      let length = min(Int(random.next(below: 24)), bytes.count - from)
      bytes.insert(contentsOf: bytes[from..<from + length], at: position)
    }
  }
}

/// Holds the document of this round.
private final class Current {
  var bytes: [UInt8] = []
}

/// Documents that together have every kind of value. They are small, so that 100,000 rounds are fast.
private let documents = [
  "realm: example.org\nworkers: 3\nengine: epoll\n",
  "listeners:\n  - udp://127.0.0.1:3478?realm=x\n  - \"tls://[::1]:443?proxy-protocol=v2&auto=false\"\n",
  "relay: { addresses: [192.0.2.10, \"2001:db8::10\"], advertise: { 192.0.2.10: 203.0.113.5 }, ports: 20000-20999 }\n",
  "auth:\n  users: { alice: secret, bob: \"x:y=z\" }\n  secrets: [one, two]\n  nonce-lifetime: 90s\n",
  "auth: { oauth-keys: [{ id: a, key: AAAAAAAAAAAAAAAAAAAAAA==, algorithm: A128GCM, not-after: 2030-01-01T00:00:00Z }] }",
  "realms:\n  other:\n    limits: { bandwidth: 64k }\n    server-names: [a.example]\n",
  "peers: { allow: [10.0.0.0/8, \"fc00::/7\"], deny: [] }\nlifetime: { maximum: 30m }\n",
  "admin: { listen: \"127.0.0.1:8478\" }\nlog: { level: info }\nauth: { store: sqlite:a.db }\n",
]
