import NetIO
import NetworkTypes
import System
import Testing

@testable import ClientIO

/// Ends of connections, and the time that an answer may take.
@Suite("Connections of the client", .serialized)
struct ConnectionTests {
  @Test("A server that has closed a TCP connection is the cause of a failed send, not this machine")
  func sendAfterClose() throws {
    let server = try FakeServer(.closing)
    defer { server.stop() }
    let soon = Instant.read().advanced(by: .seconds(10))
    var connection = try ClientConnection(
      ClientConnection.Settings(transport: .tcp, remote: server.address), until: soon)
    // The first bytes after the server's FIN is answered with a reset; the next send then fails.
    #expect(Readiness.wait(for: connection.descriptor, until: soon))
    var failure: ConnectionFailure?
    do {
      while Instant.read() < soon { try connection.send([UInt8](repeating: 0, count: 20), until: soon) }
    } catch {
      failure = error
    }
    #expect(failure == .closed)
  }
}
