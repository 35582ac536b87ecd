import NetIO
import NetworkTypes
import System
import Testing
import TURNClient

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

  @Test("An answer may take the user's whole timeout, over a stream and in a series")
  func timeouts() {
    var options = CheckOptions()
    let now = Instant(nanoseconds: 1_000_000_000)
    for timeout in [Duration.milliseconds(250), .seconds(10), .seconds(60), .seconds(3600)] {
      options.timeout = timeout
      for (isStream, settings) in [
        (true, options.effectiveRetransmission), (true, options.singleTransmission),
        (false, options.singleTransmission),
      ] {
        var timer = Retransmission(isStream: isStream, settings: settings, now: now)
        #expect(timer.deadline == now.advanced(by: timeout))
        #expect(timer.advance(to: timer.deadline) == .giveUp)
      }
    }
  }
}
