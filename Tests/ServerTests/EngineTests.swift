import ClientIO
import Crypto
import Foundation
import NetIO
import NetworkTypes
import STUN
import System
import TestSupport
import Testing
import TURNClient

/// The engines that work on this host.
enum Engines {
  static let available: [String] = hasRing ? ["epoll", "io-uring"] : ["epoll"]

  static let hasRing: Bool = {
    do throws(Errno) {
      let buffers = PacketBuffers(slotCount: 4)
      _ = try DatagramRing(buffers, firstSlot: 0, slotCount: 4)
      return true
    } catch {
      print("io_uring is refused here (\(error)): its tests are skipped")
      return false
    }
  }()
}

/// Clients and peers must see the same behaviour with each engine.
@Suite("Both engines", .serialized)
struct EngineTests {
  static func port(_ number: UInt16) -> UInt16 { PortBlock.engine[number] }

  var soon: Instant { Instant.read().advanced(by: .seconds(2)) }

  func start(_ engine: String, _ port: UInt16, _ settings: [String] = []) throws -> RunningServer {
    let server = try RunningServer(port: port, ["engine=\(engine)", "peers.allow=127.0.0.0/8"] + settings)
    #expect(server.logs("engine=\(engine == "epoll" ? "epoll" : "io_uring")"))
    return server
  }

  @Test(
    "A conversation is relayed over indications and a channel, both ways", .tags(.slow),
    arguments: Engines.available, [TransportProtocol.udp, .tcp, .tls, .dtls])
  func conversation(engine: String, transport: TransportProtocol) throws {
    let server = try start(engine, Self.port(0))
    let peer = try EchoPeer()
    let address = peer.address
    var session = try server.session(transport: transport)
    try session.allocate()
    try session.createPermission([address])
    for round in 0..<60 {
      if round == 30 { try session.bindChannel(to: address) }
      // Lengths with every remainder modulo four, an empty datagram, and a fragmented one.
      let data = [UInt8](repeating: UInt8(round), count: round == 7 ? 0 : round == 50 ? 8000 : round * 13)
      try session.send(data, to: address, until: soon)
      try #require(peer.echo(until: soon) == data)
      let back = try #require(try session.receiveData(until: soon), "round \(round)")
      try #require(back.data == data)
      #expect(back.peer == address)
    }
    try session.delete()
  }

  @Test("Packets that queue while the server is stopped arrive whole and in order", arguments: Engines.available)
  func pile(engine: String) throws {
    let server = try start(engine, Self.port(3), ["workers=1"])
    let peer = try UDPSocket(relayingOn: SocketAddress(.ipv4Loopback, port: 0), buffers: .mebibytes(4))
    let local = peer.localAddress
    let address = try #require(local)
    var session = try server.session()
    try session.allocate()
    try session.bindChannel(to: address)
    server.send(SIGSTOP)
    // More datagrams of one client than there are slots.
    let count = 1500
    for number in 0..<count {
      try session.send(
        [UInt8(number >> 8), UInt8(number & 0xFF)] + [UInt8](repeating: 7, count: number % 50), to: address, until: soon
      )
    }
    server.send(SIGCONT)
    let buffers = PacketBuffers(slotCount: 16)
    var batch = ReceiveBatch(for: buffers)
    var numbers: [Int] = []
    while numbers.count < count, Readiness.wait(for: peer.rawValue, until: soon) {
      for slot in 0..<(try batch.receive(from: peer.rawValue, firstSlot: 0, limit: 16)) {
        let bytes = buffers.bytes(slot, 0..<batch.byteCount(slot))
        numbers.append(Int(bytes.bigEndian16(at: 0)))
        #expect(bytes.byteCount == 2 + (numbers.last ?? 0) % 50)
      }
    }
    #expect(numbers == Array(0..<count))
  }

  @Test("A relay port is free again after its allocation ends", arguments: Engines.available)
  func portReuse(engine: String) throws {
    let relayPort = PortBlock.relay[0]
    let server = try start(engine, Self.port(4), ["workers=1", "relay.ports=\(relayPort)-\(relayPort)"])
    for _ in 0..<20 {
      var session = try server.session()
      try session.allocate()
      #expect(session.client.grant?.relayedAddresses.first?.port == relayPort)
      try session.delete()
    }
  }

  @Test("ICMP errors of a closed peer port leave the relay port working", arguments: Engines.available)
  func deadPeer(engine: String) throws {
    let server = try start(engine, Self.port(5))
    let peer = try EchoPeer()
    let address = peer.address
    let dead = SocketAddress(.ipv4Loopback, port: 9)
    var session = try server.session()
    try session.allocate()
    try session.createPermission([address, dead])
    for round in 0..<50 {
      let data = [UInt8(round)]
      try session.send(data, to: dead, until: soon)
      // Several datagrams in one turn: a later send reports the ICMP error of an earlier one.
      for _ in 0..<(round % 3) { try session.send(data, to: dead, until: soon) }
      try session.send(data, to: address, until: soon)
      #expect(peer.echo(until: soon) == data)
      let back = try session.receiveData(until: soon)
      #expect(back?.data == data)
    }
  }

  @Test(
    "A server that ended or was killed leaves its ports free for the next one", .tags(.slow),
    arguments: Engines.available,
    [SIGTERM, SIGKILL])
  func restart(engine: String, signal: Int32) throws {
    for _ in 0..<5 {
      let server = try start(engine, Self.port(9))
      var session = try server.session()
      try session.allocate()
      server.send(signal)
      _ = server.waitForEnd()
    }
  }

  @Test(
    "Two allocations on different shards reach each other",
    arguments: Engines.available)
  func siblings(engine: String) throws {
    let server = try start(engine, Self.port(8), ["workers=2"])
    var alice = try server.session()
    try alice.allocate()
    let aliceRelay = try #require(alice.client.grant?.relayedAddresses.first)
    // A shard prefers its own ports, so another five-tuple soon gets to the other shard.
    for _ in 0..<64 {
      var bob = try server.session("bob", "hunter2")
      try bob.allocate()
      let bobRelay = try #require(bob.client.grant?.relayedAddresses.first)
      guard (bobRelay.port >> 1) % 2 != (aliceRelay.port >> 1) % 2 else {
        try bob.delete()
        continue
      }
      try alice.bindChannel(to: bobRelay)
      try bob.bindChannel(to: aliceRelay)
      for round in UInt8(0)..<40 {
        let data = [UInt8](repeating: round, count: Int(round) * 30)
        try alice.send(data, to: bobRelay, until: soon)
        let heard = try #require(try bob.receiveData(until: soon))
        #expect(heard.data == data)
        #expect(heard.peer == aliceRelay)
        try bob.send(data, to: aliceRelay, until: soon)
        #expect(try alice.receiveData(until: soon)?.data == data)
      }
      return
    }
    Issue.record("64 clients on one shard")
  }

  // MARK: - io_uring refused by the kernel

  /// Runs a program under a seccomp filter that answers io_uring_setup with EPERM, as containers' default profiles do.
  static let refusing = [
    "-c",
    """
    import ctypes, os, struct, sys
    libc = ctypes.CDLL(None, use_errno=True)
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
    program = b"".join(struct.pack("=HBBI", *line) for line in code)
    memory = ctypes.create_string_buffer(program)
    class Filter(ctypes.Structure):
        _fields_ = [("count", ctypes.c_ushort), ("lines", ctypes.c_void_p)]
    filter = Filter(len(code), ctypes.addressof(memory))
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(filter)) == 0
    os.execv(sys.argv[1], sys.argv[1:])
    """,
  ]

  static let python = "/usr/bin/python3"
  static let hasPython = FileManager.default.isExecutableFile(atPath: python)

  @Test("If seccomp refuses io_uring, auto uses epoll and logs it once", .enabled(if: hasPython))
  func fallback() throws {
    let server = try RunningServer(
      port: Self.port(6), ["engine=auto", "admin.listen=127.0.0.1:\(Self.port(6) + 2)"],
      wrapper: [Self.python] + Self.refusing)
    #expect(server.logs("engine-fallback"))
    let metrics = try AdminClient(port: Self.port(6) + 2, of: server).metrics()
    #expect(metrics[#"turnpike_engine_fallbacks_total{from="io_uring"}"#] == 1)
    #expect(server.logs("engine=epoll"))
    var session = try server.session()
    try session.allocate()
  }

  @Test("If seccomp refuses io_uring, engine: io-uring ends the start with the reason", .enabled(if: hasPython))
  func refused() throws {
    #expect {
      _ = try RunningServer(port: Self.port(7), ["engine=io-uring"], wrapper: [Self.python] + Self.refusing)
    } throws: { error in
      (error as? RunningServer.NotStarted)?.log.contains("engine: auto") == true
    }
  }
}

/// A peer that returns each datagram.
final class EchoPeer {
  let address: SocketAddress
  private let socket: ClientSocket

  init() throws {
    let socket = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    let local = socket.localAddress
    address = try #require(local)
    self.socket = socket
  }

  /// Returns one datagram to its sender and gives its content; nil if none arrives in time.
  func echo(until deadline: Instant) -> [UInt8]? {
    guard Readiness.wait(for: socket.rawValue, until: deadline) else { return nil }
    var sender = SocketAddress.none
    var bytes = [UInt8](repeating: 0, count: 66_000)
    let result: ReadResult<Errno>
    do {
      var elements = bytes.mutableSpan
      var span = unsafe elements.mutableBytes
      result = socket.receive(into: &span, from: &sender)
    }
    guard case .bytes(let count) = result else { return nil }
    let data = Array(bytes.prefix(count))
    _ = try? socket.send(data.span.rawBytes, to: sender)
    return data
  }
}
