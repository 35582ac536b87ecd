import ClientIO
import Foundation
import NetIO
import NetworkTypes
import System
import TestSupport
import Testing

/// Warnings about limits of the host, and about datagrams that the kernel drops.
@Suite("Limits of the host are logged", .serialized)
struct HostLimitTests {
  private static func port(_ number: UInt16) -> UInt16 { PortBlock.hostLimit[number] }

  /// The number in a file below /proc/sys.
  private func system(_ name: String) throws -> Int {
    let text = try String(contentsOfFile: "/proc/sys/\(name)", encoding: .utf8)
    return try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
  }

  @Test("Few descriptors give a warning with the number needed, more give an info line")
  func descriptors() throws {
    for (count, level) in [(1000, "warning"), (9000, "info")] {
      let server = try RunningServer(
        port: Self.port(0), wrapper: ["/usr/bin/prlimit", "--nofile=\(count):\(count)"])
      #expect(server.logged(" \(level) file-limit-low files=\(count) needed=65536 "), "\(server.logText)")
    }
  }

  @Test("Connections to peers do not use the reserved descriptors: they get 508")
  func reserve() throws {
    let server = try RunningServer(
      port: Self.port(3),
      ["workers=1", "peers.allow=127.0.0.0/8", "limits.connects-per-user=0", "limits.new-peers-per-user=0"],
      wrapper: ["/usr/bin/prlimit", "--nofile=256:256"])
    let client = StreamClient(
      try Stream(to: SocketAddress(.ipv4Loopback, port: server.port), tls: nil), username: "alice", password: "secret")
    _ = try client.allocateTCP()
    var codes: Set<UInt16> = []
    var peers: [StreamPeer] = []
    for _ in 0..<250 {
      let peer = try StreamPeer()
      peers.append(peer)
      let answer = try client.connect(peer.address)
      codes.insert(answer.connectionID == nil ? answer.code ?? 0 : 200)
      if codes.contains(508) { break }
    }
    #expect(codes == [200, 508])
    let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(server.processIdentifier)/fd")
    #expect(open.compactMap { Int($0) }.filter { $0 < 224 }.count > 200)
    #expect(open.compactMap { Int($0) }.allSatisfy { $0 < 224 + 8 })
  }

  @Test("Small socket buffers give a warning with the sysctl that allows larger ones")
  func buffers() throws {
    // With CAP_NET_ADMIN a process gets buffers of any size.
    let setpriv = ["/usr/bin/setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
    let wrapper = geteuid() == 0 ? setpriv : []
    let server = try RunningServer(port: Self.port(1), wrapper: wrapper)
    let most = try system("net/core/rmem_max")
    let isSmall = most < Int(SocketBuffers.wanted)
    #expect(
      server.logged(" warning socket-buffers-small bytes=\(most) needed=\(SocketBuffers.wanted.rawValue) ") == isSmall,
      "\(server.logText)")
    #expect(server.logged("sysctl -w net.core.rmem_max=\(SocketBuffers.wanted.rawValue)") == isSmall)
  }

  @Test("Datagrams that the kernel drops are logged with the sysctl", arguments: Engines.available)
  func drops(engine: String) throws {
    let server = try RunningServer(port: Self.port(2), ["engine=\(engine)", "workers=1"])
    let socket = try ClientSocket.udp(to: SocketAddress(.ipv4Loopback, port: Self.port(2)))
    let datagram = [UInt8](repeating: 0, count: 1000)
    server.send(SIGSTOP)
    // The kernel counts a kilobyte and its overhead for each datagram: together several times the buffer's size.
    for _ in 0..<30_000 { _ = try? socket.send(datagram.span.rawBytes) }
    server.send(SIGCONT)
    let line = " limit-reached limit=receive-buffer client=unknown key=\"net.core.rmem_max (sysctl)\" times="
    // The shard checks the count once a second, in a turn that another event begins.
    for _ in 0..<10 where !server.logs(line, seconds: 1.1) { _ = try? socket.send(datagram.span.rawBytes) }
    #expect(server.logged(line), "\(server.logText)")
  }
}
