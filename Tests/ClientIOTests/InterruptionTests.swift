import Dispatch
import Foundation
import NetworkTypes
import STUN
import Testing
import TestSupport

/// Tests series that the user interrupts.
@Suite("Interrupted series", .serialized)
struct InterruptionTests {
  /// A server that never answers, and signals its first request.
  private struct Silent {
    let server: FakeServer
    let asked = DispatchSemaphore(value: 0)
    let counter = Counter()

    init(at address: SocketAddress = SocketAddress(.ipv4Loopback, port: 0)) throws {
      let (asked, counter) = (asked, counter)
      server = try FakeServer(
        .udp { _ in
          if counter.next() == 1 { asked.signal() }
          return []
        }, at: address)
    }
  }

  /// Runs the program and sends SIGTERM when `server` has got a request. Returns the status and output.
  private func interrupt(
    _ arguments: [String], asOf server: Silent
  ) throws -> (status: Int32, output: String) {
    let pipe = Pipe()
    let child = try Child(Run.program.path, arguments, output: .pipe(pipe))
    #expect(server.asked.wait(timeout: .now() + 20) == .success)
    child.send(SIGTERM)
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    return (child.wait(), String(decoding: output, as: UTF8.self))
  }

  private func document(_ text: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
  }

  @Test("An interrupted series without an answer is a timeout in each output format")
  func noAnswer() throws {
    let check = try Silent()
    let json = try Silent()
    let ping = try Silent()
    defer { for silent in [check, json, ping] { silent.server.stop() } }
    let line = try interrupt(["--count", "5", "--check", "\(check.server.address)"], asOf: check)
    let words = "Binding at \(check.server.address) over UDP: interrupted before the first answer [timeout]"
    #expect(line.status == 2 && line.output == "CRITICAL: \(words)\n", "\(line)")

    let metrics = FileManager.default.temporaryDirectory.appending(path: "interrupted-\(UInt64.random(in: 0 ... .max))")
    defer { try? FileManager.default.removeItem(at: metrics) }
    let run = try interrupt(
      ["--count", "5", "--json", "--prometheus", metrics.path, "\(json.server.address)"], asOf: json)
    let found = try document(run.output)
    #expect(run.status == 2 && found["status"] as? String == "failed")
    #expect(found["sent"] as? Int == 1 && found["received"] as? Int == 0 && found["loss_percent"] as? Double == 100)
    let text = try String(contentsOf: metrics, encoding: .utf8)
    #expect(text.contains("\"} 0\n") && text.contains("reason=\"timeout\"} 1"), "\(text)")

    let series = try interrupt(["ping", "--check", "\(ping.server.address)"], asOf: ping)
    #expect(series.status == 2 && series.output.contains("no answer to 1 requests [timeout]"), "\(series)")
  }

  @Test("A pending request of an interrupted series counts as sent and not as lost")
  func pendingRequest() throws {
    let second = DispatchSemaphore(value: 0)
    let counter = Counter()
    let server = try FakeServer(
      .udp { request in
        guard counter.next() > 1 else { return generous(request) }
        second.signal()
        return []
      })
    defer { server.stop() }
    let pipe = Pipe()
    let child = try Child(
      Run.program.path, ["--count", "5", "--interval", "0.01", "--json", "\(server.address)"], output: .pipe(pipe))
    #expect(second.wait(timeout: .now() + 20) == .success)
    child.send(SIGINT)
    let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
    let found = try document(String(decoding: output, as: UTF8.self))
    #expect(child.wait() == 0 && found["sent"] as? Int == 2 && found["received"] as? Int == 1)
    #expect(found["loss_percent"] as? Double == 0)
  }

  @Test("After an interrupt no further address is tried, and a family without an answer has failed")
  func noNextAddress() throws {
    let first = try Silent()
    let port = first.server.address.port
    let second = try Silent(at: SocketAddress(IPAddress(127, 0, 0, 2), port: port))
    defer {
      first.server.stop()
      second.server.stop()
    }
    var zone = NameServiceTests.Zone()
    zone.address("two.test", [127, 0, 0, 1])
    zone.address("two.test", [127, 0, 0, 2])
    let dns = try NameServiceTests().start(zone)
    defer { dns.stop() }
    let options = ["--dns-server", "\(dns.address)", "--count", "3", "--interval", "0.01"]
    let two = try interrupt(options + ["two.test:\(port)"], asOf: first)
    #expect(two.status == 2 && second.counter.next() == 1, "\(two)")

    let third = try Silent(at: SocketAddress(.ipv4Loopback, port: 0))
    let other = try FakeServer(.udp(generous), at: SocketAddress(.ipv6Loopback, port: third.server.address.port))
    defer {
      third.server.stop()
      other.stop()
    }
    var mixed = NameServiceTests.Zone()
    mixed.address("both.test", [UInt8](repeating: 0, count: 15) + [1])
    mixed.address("both.test", [127, 0, 0, 1])
    let names = try NameServiceTests().start(mixed)
    defer { names.stop() }
    let both = try interrupt(
      [
        "--dns-server", "\(names.address)", "--count", "3", "--interval", "0.01", "--json",
        "both.test:\(third.server.address.port)",
      ], asOf: third)
    let found = try document(both.output)
    let families = try #require(found["families"] as? [[String: Any]])
    #expect(both.status == 2 && families.map { $0["status"] as? String } == ["ok", "failed"], "\(both.output)")
    // The figures are those of the family that works, and no hint says to remove a DNS record.
    #expect(found["family"] as? String == "ipv6" && found["received"] as? Int == 3)
    #expect(((found["failure"] as? [String: Any])?["likely_cause"] as? String)?.hasPrefix("the time was too") == true)
  }

  @Test("The second signal ends the program at once")
  func secondSignal() throws {
    let asked = DispatchSemaphore(value: 0)
    let server = try FakeServer(
      .udp { request in
        asked.signal()
        return generous(request)
      })
    defer { server.stop() }
    // The pipe is full and the test does not read, so the program blocks at its first line of output.
    let pipe = Pipe()
    try pipe.fileHandleForWriting.write(contentsOf: Data(count: 65_536))
    let child = try Child(
      Run.program.path, ["--ndjson", "--count", "1000", "--interval", "0.01", "\(server.address)"],
      output: .pipe(pipe))
    #expect(asked.wait(timeout: .now() + 20) == .success)
    for _ in 0..<500 where child.isRunning {
      child.send(SIGINT)
      usleep(10_000)
    }
    #expect(!child.isRunning)
    child.kill()
    #expect(child.wait() == 128 + SIGINT)
  }
}
