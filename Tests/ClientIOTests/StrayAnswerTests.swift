import ClientIO
import Crypto
import Foundation
import NetIO
import NetworkTypes
import STUN
import System
import TestSupport
import Testing
import TLS
import TURNClient

/// Servers that answer from another address or port than the request's target.
@Suite("Answers from another address", .serialized)
struct StrayAnswerTests {
  static let elsewhere = [
    SocketAddress(IPAddress(127, 0, 0, 2), port: 0), SocketAddress(.ipv4Loopback, port: 0),
  ]

  static let credentials = ["STUNCLIENT_USERNAME": "alice", "STUNCLIENT_PASSWORD": "secret"]

  func document(_ run: Run) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any], "\(run)")
  }

  @Test("Every command over UDP names the address that the answer came from", .tags(.slow), arguments: elsewhere)
  func everyCommand(source: SocketAddress) throws {
    let server = try CrossServer(from: source) { generous($0) }
    defer { server.stop() }
    let cause =
      source.address == .ipv4Loopback
      ? "a NAT or load balancer in front of the server changes the port of its answers"
      : "the server has several addresses and answers from the wrong one"
    for words in [["binding"], ["ping", "--count", "2", "--interval", "0.01"], ["nat"], ["relay"], ["security"]] {
      let isTURN = words == ["relay"] || words == ["security"]
      let target = isTURN ? "turn:\(server.address)" : "\(server.address)"
      let run = try Run(words + ["--json", "--timeout", "0.25", target], environment: Self.credentials)
      let failure = try #require(try document(run)["failure"] as? [String: Any], "\(words)")
      #expect(run.status == 2 && failure["reason"] as? String == "other-source", "\(words) \(failure)")
      let message = failure["message"] as? String
      #expect(message?.contains("came from \(server.source)") == true, "\(words) \(failure)")
      #expect((failure["likely_cause"] as? String)?.hasPrefix(cause) == true, "\(words) \(failure)")
    }
  }

  @Test("Answers from another address are recognised over IPv6 too")
  func ipv6() throws {
    let loopback = SocketAddress(.ipv6Loopback, port: 0)
    let server = try CrossServer(at: loopback, from: loopback) { generous($0) }
    defer { server.stop() }
    let run = try Run(["--json", "--timeout", "0.25", "\(server.address)"])
    #expect((try document(run)["failure"] as? [String: Any])?["reason"] as? String == "other-source", "\(run)")
  }

  @Test("A TURN server without Binding is recognised by its answer to Allocate")
  func allocateOnly() throws {
    let server = try CrossServer(from: Self.elsewhere[0]) { method(of: $0) == .allocate ? challenge($0) : [] }
    defer { server.stop() }
    let found = try document(try Run(["--json", "--timeout", "0.25", "turn:\(server.address)"]))
    #expect((found["failure"] as? [String: Any])?["reason"] as? String == "other-source")
    let steps = found["steps"] as? [[String: Any]]
    #expect(steps?.first?["name"] as? String == "allocate" && steps?.first?["reason"] as? String == "other-source")
  }

  @Test("A DTLS server is recognised by its answer to ClientHello")
  func dtls() throws {
    // The first bytes of a HelloVerifyRequest; the rest is not read.
    let hello = [22, 0xFE, 0xFF] + [UInt8](repeating: 0, count: 30)
    let server = try CrossServer(from: Self.elsewhere[0]) { _ in [hello] }
    defer { server.stop() }
    let run = try Run(["--insecure", "--dtls", "--json", "--timeout", "0.25", "\(server.address)"])
    let failure = try document(run)["failure"] as? [String: Any]
    #expect(failure?["reason"] as? String == "other-source", "\(run)")
  }

  @Test("Silence, answers to other requests and unrelated packets stay a timeout", .tags(.slow))
  func unrelatedPackets() throws {
    for handler: FakeServer.Handler in [
      { _ in [] }, { request in respond(to: request.prefix(19) + [request[19] ^ 1]) }, { [$0] }, { _ in [[1, 2, 3]] },
    ] {
      let server = try CrossServer(from: Self.elsewhere[0], handler)
      defer { server.stop() }
      let failure = try ReasonTests.bind(server.address)
      #expect(failure?.reason == .timeout, "\(String(describing: failure))")
    }
  }

  @Test("A slow answer from the right address is a timeout only")
  func slowServer() throws {
    let counter = Counter()
    // The first request is lost; the request from the unconnected socket is answered from the right address.
    let server = try FakeServer(.udp { counter.next() == 1 ? [] : generous($0) })
    defer { server.stop() }
    var options = ReasonTests.options()
    options.retransmission.requestCount = 1
    let failure = try ReasonTests.bind(server.address, .udp, host: "127.0.0.1", options)
    #expect(failure?.reason == .timeout, "\(String(describing: failure))")
  }
}

/// Receives at one address, and answers from there or from another.
final class CrossServer: Sendable {
  /// A datagram of the server.
  struct Reply: Sendable {
    var bytes: [UInt8]
    /// Nil: the sender of the request.
    var destination: SocketAddress?
    /// Whether it comes from the other address.
    var isFromElsewhere = false
  }

  typealias Handler = @Sendable (_ request: [UInt8]) -> [Reply]

  private final class Sockets: Sendable {
    let asked: ClientSocket
    let answering: ClientSocket
    init(_ asked: consuming ClientSocket, _ answering: consuming ClientSocket) {
      self.asked = asked
      self.answering = answering
    }
  }

  let address: SocketAddress
  let source: SocketAddress
  private let stopped = Counter()

  /// All answers come from the other address.
  convenience init(
    at address: SocketAddress = SocketAddress(.ipv4Loopback, port: 0), from source: SocketAddress,
    _ handler: @escaping FakeServer.Handler
  ) throws {
    try self.init(
      at: address, from: source,
      replies: { request in handler(request).map { Reply(bytes: $0, isFromElsewhere: true) } })
  }

  init(
    at address: SocketAddress = SocketAddress(.ipv4Loopback, port: 0),
    from source: SocketAddress = SocketAddress(.ipv4Loopback, port: 0), replies handler: @escaping Handler
  ) throws {
    let sockets = Sockets(try ClientSocket.udp(boundTo: address), try ClientSocket.udp(boundTo: source))
    self.address = sockets.asked.localAddress ?? .none
    self.source = sockets.answering.localAddress ?? .none
    let stopped = stopped
    _ = try System.Thread(name: "cross-udp") {
      while stopped.value == 0 { Self.answer(sockets.asked, sockets.answering, handler) }
    }
  }

  func stop() { _ = stopped.next() }

  private static func answer(
    _ asked: borrowing ClientSocket, _ answering: borrowing ClientSocket, _ handler: Handler
  ) {
    guard Readiness.wait(for: asked.rawValue, until: Instant.read().advanced(by: .milliseconds(20))) else { return }
    var buffer = [UInt8](repeating: 0, count: 2048)
    var sender = SocketAddress.none
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    guard case .bytes(let count) = asked.receive(into: &bytes, from: &sender) else { return }
    for reply in handler(Array(buffer.prefix(count))) {
      let destination = reply.destination ?? sender
      if reply.isFromElsewhere {
        _ = try? answering.send(reply.bytes.span.rawBytes, to: destination)
      } else {
        _ = try? asked.send(reply.bytes.span.rawBytes, to: destination)
      }
    }
  }
}
