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
      Handle<Connection>(index: 0, generation: 1), .ipv4Loopback, try TLSEngine(server: context), descriptor: nil,
      answers: answers)
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
    #expect(returned.isEmpty)
    job.sendBack()
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
    job.sendBack()
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
      Handle<Connection>(index: 0, generation: 1), .ipv4Loopback, context, hello: try Self.hello(), descriptor: nil,
      answers: answers)
    job.run()
    job.sendBack()
    #expect(returned == [job])
    let engine = job.takeStreamEngine()
    guard let engine else { throw Errno.invalidArgument }
    let byteCount = engine.outputByteCount
    #expect(byteCount > 500)
  }

  /// Both ends of a TCP connection over loopback.
  private struct Ends: ~Copyable {
    let client: ClientSocket
    let server: StreamSocket

    static func connect() throws -> Ends {
      let listener = try StreamListener(listeningOn: SocketAddress(.ipv4Loopback, port: 0))
      let local = listener.localAddress
      let client = try ClientSocket.tcp(to: try #require(local))
      let accepted = try listener.accept()
      guard let accepted else { throw Errno.connectionRefused }
      return Ends(client: client, server: accepted)
    }

    /// Whether the client's end is readable until a deadline.
    func isReadable(until deadline: Instant) -> Bool { Readiness.wait(for: client.rawValue, until: deadline) }
  }

  private static var soon: Instant { Now.read().instant.advanced(by: .seconds(10)) }

  @Test("The thread sends the flight, and the engine waits for the client without waking the shard")
  func parked() throws {
    let ends = try Ends.connect()
    let job = HandshakeJob(
      Handle<Connection>(index: 0, generation: 1), .ipv4Loopback, context, hello: try Self.hello(),
      descriptor: ends.server.rawValue, answers: answers)
    #expect(!job.isParked)
    job.run()
    job.sendBack()
    job.wakeShard()
    #expect(job.isParked && returned.isEmpty)
    let isSent = ends.isReadable(until: Self.soon)
    #expect(isSent)
    #expect(job.unpark())
    let engine = job.takeStreamEngine()
    guard let engine else { throw Errno.invalidArgument }
    let hasOutput = engine.hasOutput
    #expect(!hasOutput)
  }

  @Test("An engine for which its shard waits returns through the mailbox")
  func awaited() throws {
    let ends = try Ends.connect()
    let job = HandshakeJob(
      Handle<Connection>(index: 0, generation: 1), .ipv4Loopback, context, hello: try Self.hello(),
      descriptor: ends.server.rawValue, answers: answers)
    #expect(!job.unpark())
    job.run()
    job.sendBack()
    #expect(!job.isParked && returned == [job])
  }

  @Test("A failed handshake returns through the mailbox")
  func failed() throws {
    let ends = try Ends.connect()
    var hello = try Self.hello()
    // A ServerHello.
    hello[5] = 2
    let job = HandshakeJob(
      Handle<Connection>(index: 0, generation: 1), .ipv4Loopback, context, hello: hello,
      descriptor: ends.server.rawValue, answers: answers)
    job.run()
    job.sendBack()
    #expect(!job.isParked && returned == [job])
  }

  @Test("A kept socket is closed with the job")
  func kept() throws {
    let ends = try Ends.connect()
    let client = ends.client.rawValue
    do {
      let job = try job()
      job.keep(ends.server)
      #expect(!Readiness.wait(for: client, until: Instant(nanoseconds: 0)))
    }
    #expect(Readiness.wait(for: client, until: Self.soon))
    _ = ends.client.rawValue
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

  @Test("Steps that wait together return together, and wake their shard once")
  func together() throws {
    // Long enough for a slow machine: the queue's end sends them back.
    let service = try HandshakeService(answerDelay: .seconds(600))
    let jobs = [try job(), try job(), try job()]
    for job in jobs { service.submit(job) }
    let thread = try Thread(name: "handshakes") { service.run() }
    answers.wait()
    #expect(returned == jobs)
    service.stop()
    thread.join()
    // A second ring would make the empty mailbox readable again.
    #expect(!Readiness.wait(for: answers.rawValue, until: Instant(nanoseconds: 0)))
  }

  @Test("A step does not wait longer than the delay for further ones")
  func alone() throws {
    let service = try HandshakeService(answerDelay: .zero)
    let jobs = [try job(), try job()]
    for job in jobs { service.submit(job) }
    let thread = try Thread(name: "handshakes") { service.run() }
    var all: [HandshakeJob] = []
    while all.count < jobs.count {
      answers.wait()
      all += returned
    }
    #expect(all == jobs)
    service.stop()
    thread.join()
  }

  @Test("An idle thread wakes for each new step")
  func idle() throws {
    let service = try HandshakeService()
    let thread = try Thread(name: "handshakes") { service.run() }
    for _ in 0..<100 {
      let job = try job()
      service.submit(job)
      answers.wait()
      #expect(returned == [job])
    }
    service.stop()
    thread.join()
  }
}
