import Foundation
import NetworkTypes
import STUN
import Synchronization
import TestSupport
import Testing

@testable import TURN

/// All inputs and outputs of a relay in one conversation, one line each.
///
/// A conversation is compared with the transcripts in `Tests/Transcripts` that are kept for its test. A conversation
/// that equals none of them fails the test, even if the test asserts nothing about the difference. After an intended
/// change, `TURNPIKE_RECORD_TRANSCRIPTS=1 swift test --filter TURNTests` records the new outputs, and a reviewer reads
/// the difference.
struct Transcript {
  private(set) var lines: [String] = []
  /// False for conversations with random input, whose transcripts would be long and hard to read.
  var isKept = true
  /// A longer transcript is kept as its number of lines and a hash.
  private static let longest = 60

  mutating func add(_ line: @autoclosure () -> String) { if isKept { lines.append(line()) } }

  /// The text to keep.
  var text: String {
    guard lines.count > Self.longest else { return lines.joined(separator: "\n") }
    let rest = lines.dropFirst(Self.longest)
    let end = "and \(rest.count) more lines, \(Self.hash(rest.joined(separator: "\n")))"
    return (lines.prefix(Self.longest) + [end]).joined(separator: "\n")
  }

  /// The short text to keep if a test has very many transcripts.
  static func brief(_ text: String) -> String { "\(text.utf8.count(where: { $0 == 10 }) + 1) lines, \(hash(text))" }

  /// FNV-1a, which gives the same value in every process.
  private static func hash(_ text: String) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return String(hash, radix: 16)
  }
}

/// The transcripts in the repository. Each suite has a file, which has a heading for each test and below it the
/// transcripts of its conversations.
final class KeptTranscripts: Sendable {
  static let shared = KeptTranscripts()

  /// If a test has more different transcripts, only their hashes are kept.
  private static let most = 40
  private let isRecording = ProcessInfo.processInfo.environment["TURNPIKE_RECORD_TRANSCRIPTS"] != nil
  /// The kept transcripts, by suite and test.
  private let files = Mutex<[String: [String: Set<String>]]>([:])
  private let recorded = Mutex<[String: [String: Set<String>]]>([:])

  private static func path(_ suite: String) -> String { Paths.repository("Tests/Transcripts/\(suite).txt") }

  /// Compares a finished conversation with the test's kept transcripts; nil if it equals one of them.
  func problem(with transcript: Transcript, of test: Test) -> String? {
    guard transcript.isKept, !transcript.lines.isEmpty else { return nil }
    let parts = test.id.description.split(separator: "/")
    let suite = parts.first.map { String($0.split(separator: ".").last ?? $0) } ?? "Tests"
    let name = test.name
    if isRecording {
      record(transcript.text, suite, name)
      return nil
    }
    let kept = files.withLock { files in
      if files[suite] == nil { files[suite] = Self.read(suite) }
      return files[suite]?[name] ?? []
    }
    if kept.contains(transcript.text) || kept.contains(Transcript.brief(transcript.text)) { return nil }
    return Self.explain(transcript.text, kept, "\(suite), \(name)")
  }

  private func record(_ text: String, _ suite: String, _ name: String) {
    recorded.withLock { recorded in
      recorded[suite, default: [:]][name, default: []].insert(text)
      let sections = recorded[suite, default: [:]].sorted { $0.key < $1.key }.map { name, texts -> String in
        let kept = texts.count > Self.most ? Set(texts.map { Transcript.brief($0) }) : texts
        return "=== \(name)\n" + kept.sorted().joined(separator: "\n---\n") + "\n"
      }
      try? sections.joined(separator: "\n").write(toFile: Self.path(suite), atomically: true, encoding: .utf8)
    }
  }

  private static func read(_ suite: String) -> [String: Set<String>] {
    guard let content = try? String(contentsOfFile: path(suite), encoding: .utf8) else { return [:] }
    var result: [String: Set<String>] = [:]
    for section in ("\n" + content).components(separatedBy: "\n=== ").dropFirst() {
      guard let end = section.firstIndex(of: "\n") else { continue }
      let body = section[section.index(after: end)...].trimmingCharacters(in: .newlines)
      result[String(section[..<end])] = Set(body.components(separatedBy: "\n---\n"))
    }
    return result
  }

  /// The first line that differs from the most similar kept transcript.
  private static func explain(_ text: String, _ kept: Set<String>, _ name: String) -> String {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    func agreement(_ other: String) -> Int {
      zip(lines, other.split(separator: "\n", omittingEmptySubsequences: false)).prefix { $0 == $1 }.count
    }
    guard let nearest = kept.max(by: { (agreement($0), $1) < (agreement($1), $0) }) else {
      return "\(name): no transcript is kept; record it with TURNPIKE_RECORD_TRANSCRIPTS=1"
    }
    let at = agreement(nearest)
    let expected = nearest.split(separator: "\n", omittingEmptySubsequences: false).dropFirst(at).first ?? "(the end)"
    let found = lines.dropFirst(at).first ?? "(the end)"
    let before = lines[max(0, at - 3)..<at].joined(separator: "\n  ")
    return
      "\(name): line \(at + 1) of the transcript differs. After\n  \(before)\nkept\n  \(expected)\nfound\n  \(found)"
  }
}
