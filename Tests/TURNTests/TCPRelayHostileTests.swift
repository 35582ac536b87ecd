import Crypto
import NetworkTypes
import STUN
import Tables
import TestSupport
import Testing

@testable import TURN

@Suite("RFC 6062 under hostile and random use")
struct TCPRelayHostileTests {
  @Test(
    "In 60,000 random steps every connection is closed exactly once, and no record is left",
    .tags(.slow))
  func randomWalk() {
    let conversation = Conversation(ports: 50_000...50_031) {
      $0.realms[0].limits.bandwidthPerAllocation = .bytesPerSecond(10_000)
    }
    conversation.transcript.isKept = false
    var generator = SeededGenerator(seed: Array("tcp relay walk".utf8))
    let controls = (0..<6).map {
      TestClient(conversation, "192.0.2.\($0 + 1):5000", transport: .tcp, connection: UInt32($0))
    }
    let datas = (0..<6).map {
      TestClient(conversation, "192.0.2.\($0 + 1):6000", transport: .tls, connection: UInt32($0 + 50))
    }
    for (number, client) in (controls + datas).enumerated() {
      if number % 6 > 3 {
        client.username = "bob"
        client.key = Conversation.otherKey
      }
      client.challenge()
    }
    // The connections that the engine has open.
    var open: Set<Handle<PeerConnection>> = []
    var identifiers: [UInt32] = []
    func pick<T>(_ items: [T]) -> T? { items.isEmpty ? nil : items[Int(generator.next(below: UInt64(items.count)))] }
    func settle() {
      for connect in conversation.connects { open.insert(connect.id) }
      conversation.connects.removeAll()
      for id in conversation.closedPipes { open.remove(id) }
      conversation.closedPipes.removeAll()
      for (_, bytes) in conversation.lateReplies {
        if let identifier = controls[0].read(bytes)?.connectionID { identifiers.append(identifier) }
      }
      conversation.lateReplies.removeAll()
      conversation.boundPipes.removeAll()
      conversation.events.removeAll()
      if identifiers.count > 50 { identifiers.removeFirst(25) }
    }
    var bound = 0
    for round in 0..<60_000 {
      let control = controls[Int(generator.next(below: 6))]
      switch generator.next(below: 12) {
      case 0:
        control.allocate(.tcp) {
          if generator.next(below: 2) == 0 { $0.append(.additionalAddressFamily, UInt32(2) << 24) }
        }
      case 1: control.permit("8.8.8.\(generator.next(below: 4)):0")
      case 2, 3:
        let peer =
          generator.next(below: 5) == 0
          ? "[2001:4860::8]:80" : "8.8.8.\(generator.next(below: 4)):\(80 + generator.next(below: 3))"
        _ = control.ask(control.request(.connect) { $0.append(.xorPeerAddress, xor: SocketAddress(peer)!) })
      case 4, 5:
        guard let id = pick(Array(open)) else { break }
        if generator.next(below: 3) == 0 {
          open.remove(id)
          conversation.relay.peerConnectionFailed(id, .refused, now: conversation.now)
        } else {
          conversation.relay.peerConnected(id, now: conversation.now)
        }
        conversation.runCommands()
      case 6:
        guard let port = conversation.port(by: generator.next()) else { break }
        let peer = SocketAddress("8.8.8.\(generator.next(below: 6)):\(generator.next(below: 4) + 1)")!
        if let id = conversation.relay.peerAccepted(peer, on: port, now: conversation.now) { open.insert(id) }
        conversation.runCommands()
      case 7, 8:
        let data = datas[Int(generator.next(below: 6))]
        let identifier =
          generator.next(below: 4) == 0 ? UInt32(truncatingIfNeeded: generator.next()) : pick(identifiers) ?? 1
        // The data connection uses its own nonce, or that of a control connection.
        let own = data.nonce
        if generator.next(below: 3) == 0 { data.nonce = control.nonce }
        defer { data.nonce = own }
        let answer = data.ask(data.request(.connectionBind) { $0.append(.connectionID, identifier) })
        if answer?.type == MessageType(.connectionBind, .success) { bound += 1 }
      case 9:
        guard let id = pick(Array(open)) else { break }
        _ = conversation.relay.pipeCarried(
          Int(generator.next(below: 100_000)), id, toPeer: round & 1 == 0, now: conversation.now)
        if generator.next(below: 3) == 0 {
          open.remove(id)
          conversation.relay.pipeEnded(id)
        }
      case 10:
        if generator.next(below: 6) == 0 {
          control.refresh(0)
        } else if generator.next(below: 6) == 0 {
          conversation.relay.connectionClosed(control.path, now: conversation.now)
          conversation.runCommands()
        }
      default:
        conversation.wait(seconds: UInt32(generator.next(below: 12)))
        if generator.next(below: 20) == 0 { for client in controls + datas { client.challenge() } }
      }
      settle()
      // The relay and the engine must have the same number of open connections.
      guard conversation.relay.peerConnections.openCount == open.count else {
        Issue.record("round \(round): \(conversation.relay.peerConnections.openCount) records, \(open.count) open")
        return
      }
    }
    #expect(bound > 100)
    conversation.relay.endAllAllocations(now: conversation.now)
    conversation.runCommands()
    settle()
    #expect(open.isEmpty && conversation.openPorts.isEmpty && conversation.admitted == 0)
    let left =
      conversation.relay.peerConnections.indexedCount
      + conversation.relay.peerConnections.count
    #expect(left == 0)
    #expect(conversation.relay.peerConnections.waitingClients.isEmpty)
  }

  @Test("50,000 mutated RFC 6062 requests, half of them signed afterwards, never trap", .tags(.slow))
  func mutations() {
    let conversation = Conversation(ports: 50_000...50_031)
    conversation.transcript.isKept = false
    var generator = SeededGenerator(seed: Array("tcp relay mutations".utf8))
    let clients = (0..<8).map {
      TestClient(conversation, "192.0.2.\($0 + 1):5000", transport: .tcp, connection: UInt32($0))
    }
    for client in clients {
      client.challenge()
      client.allocate(.tcp)
    }
    for round in 0..<50_000 {
      let client = clients[Int(generator.next(below: 8))]
      let method = [STUN.Method.connect, .connectionBind, .connectionAttempt, .allocate][Int(generator.next(below: 4))]
      let isSigned = round & 1 == 0
      var bytes = client.request(method) { writer in
        if generator.next(below: 2) == 0 {
          writer.append(.xorPeerAddress, xor: SocketAddress("8.8.8.8:\(generator.next(below: 65_536))")!)
        }
        if generator.next(below: 2) == 0 { writer.append(.connectionID, UInt32(truncatingIfNeeded: generator.next())) }
        if method == .allocate { writer.append(.requestedTransport, UInt32(6) << 24) }
        if isSigned {
          let type = [AttributeType.connectionID, .xorPeerAddress, .requestedTransport, .data][
            Int(generator.next(below: 4))]
          let length = [0, 1, 3, 4, 5, 8, 20, 21][Int(generator.next(below: 8))]
          writer.append(type, (0..<length).map { _ in UInt8(truncatingIfNeeded: generator.next()) })
        }
      }
      if !isSigned {
        for _ in 0...generator.next(below: 4) {
          bytes[Int(generator.next(below: UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: generator.next())
        }
      }
      _ = client.send(bytes)
      if round % 500 == 499 {
        conversation.wait(seconds: 31)
        for client in clients {
          client.challenge()
          client.allocate(.tcp)
        }
        let left = conversation.relay.peerConnections.count
        #expect(left == 0)
      }
      conversation.lateReplies.removeAll()
      conversation.connects.removeAll()
      conversation.closedPipes.removeAll()
      conversation.events.removeAll()
    }
  }
}
