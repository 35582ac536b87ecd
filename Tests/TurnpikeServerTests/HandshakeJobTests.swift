import NetIO
import NetworkTypes
import System
import TLS
import Tables
import Testing

@testable import TurnpikeServer

@Suite("Steps of handshakes")
struct HandshakeJobTests {
  private let answers: Mailbox<ShardMessage>
  private let context: TLSContext

  init() throws {
    answers = try Mailbox(capacity: 4)
    let made = try SelfSignedCertificate(
      commonName: "turnpike", hostNames: ["localhost"], addresses: [], now: Now.read().wall)
    let files = try CertificateFiles(
      chain: .bytes(made.certificate, name: "chain"), key: .bytes(made.key, name: "key"))
    context = try TLSContext(server: files)
  }

  private func job() throws -> HandshakeJob {
    HandshakeJob(
      Handle<Connection>(index: 0, generation: 1), .ipv4Loopback, try TLSEngine(server: context), answers: answers)
  }

  /// The jobs that the service has returned.
  private var returned: [HandshakeJob] {
    answers.takeAll().compactMap { if case .handshake(let job) = $0 { job } else { nil } }
  }

  private static func hasEngine(_ job: HandshakeJob) -> Bool { job.takeStreamEngine() != nil }

  @Test("A completed job returns its engine, which can be taken once")
  func done() throws {
    let job = try job()
    job.run()
    #expect(returned == [job])
    #expect(Self.hasEngine(job) && !Self.hasEngine(job))
  }

  @Test("A refused job returns without its engine")
  func refused() throws {
    let job = try job()
    job.refuse()
    #expect(returned == [job])
    #expect(!Self.hasEngine(job))
  }

  @Test("A job whose connection has ended is not run and does not return")
  func abandoned() throws {
    let job = try job()
    job.abandon()
    job.run()
    #expect(returned.isEmpty)
    #expect(!Self.hasEngine(job))
  }

  /// OpenSSL's ClientHello.
  private static func hello() throws -> [UInt8] {
    var client = try TLSEngine(client: TLSContext(client: .none), serverName: "localhost")
    client.handshake()
    return client.output.copied()
  }

  @Test("The first step makes the engine, which answers the hello")
  func first() throws {
    let job = HandshakeJob(
      Handle<Connection>(index: 0, generation: 1), .ipv4Loopback, context, hello: try Self.hello(), answers: answers)
    job.run()
    #expect(returned == [job])
    let engine = job.takeStreamEngine()
    guard let engine else { throw Errno.invalidArgument }
    let byteCount = engine.outputByteCount
    #expect(byteCount > 500)
  }

  @Test("The thread frees the engines of closed connections, and beyond the limit the caller does")
  func discarded() throws {
    let service = try HandshakeService()
    weak var last: DiscardedEngine?
    for number in 0...HandshakeService.discardLimit {
      let engine = DiscardedEngine(try TLSEngine(server: context))
      if number == HandshakeService.discardLimit { last = engine }
      service.discard(engine)
    }
    #expect(last == nil)
    weak var first: DiscardedEngine?
    let other = try HandshakeService()
    do {
      let engine = DiscardedEngine(try TLSEngine(server: context))
      first = engine
      other.discard(engine)
    }
    #expect(first != nil)
    let thread = try Thread(name: "handshakes") { other.run() }
    while first != nil { Readiness.sleep(until: Now.read().instant.advanced(by: .milliseconds(1))) }
    other.stop()
    thread.join()
  }
}
