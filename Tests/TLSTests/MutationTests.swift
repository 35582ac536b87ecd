import NetworkTypes
import Testing
import TestSupport
import System
import TLS

@Suite("Mutated TLS")
struct MutationTests {
  @Test("A mutated ClientHello is answered or refused, and never traps", .tags(.slow))
  func clientHello() throws {
    let seed: UInt64 = 0x7E15_0001
    var random = SplitMix(state: seed)
    let identity = try Identity()
    let context = try TLSContext(server: identity.files)
    var client = try TLSEngine(
      client: TLSContext(client: .none), serverName: "turn.example.org", applicationProtocols: ["h2", "stun.turn"])
    client.handshake()
    let hello = drain(&client)
    var failed = 0
    var answered = 0
    for _ in 0..<30_000 {
      var server = try TLSEngine(server: context)
      server.receive(random.mutate(hello).span.rawBytes)
      let end = readAll(&server).end
      if case .failed(let error) = end {
        failed += 1
        #expect(!error.reason.isEmpty, "seed \(seed)")
      } else if server.hasOutput {
        answered += 1
      }
    }
    #expect(failed > 1000)
    #expect(answered > 1000)
  }

  @Test("A mutated flight or record is accepted or refused by either side, and never traps", .tags(.slow))
  func flights() throws {
    let seed: UInt64 = 0x7E15_0002
    var random = SplitMix(state: seed)
    let identity = try Identity()
    let serverContext = try TLSContext(server: identity.files)
    let clientContext = try TLSContext(client: .none)
    let payload = [UInt8](repeating: 0x5A, count: 300)
    var intact = 0
    var broken = 0
    for _ in 0..<4000 {
      var server = try TLSEngine(server: serverContext)
      var client = try TLSEngine(client: clientContext, serverName: "turn.example.org")
      client.handshake()
      let turn = Int.random(in: 0..<6, using: &random)
      var received: [UInt8] = []
      for step in 0..<6 {
        if step.isMultiple(of: 2) {
          if client.isEstablished { _ = write(&client, payload) }
          let bytes = drain(&client)
          server.receive((step == turn ? random.mutate(bytes) : bytes).span.rawBytes)
          received += readAll(&server).bytes
        } else {
          if server.isEstablished { _ = write(&server, payload) }
          let bytes = drain(&server)
          client.receive((step == turn ? random.mutate(bytes) : bytes).span.rawBytes)
          received += readAll(&client).bytes
        }
      }
      // Integrity: only bytes of the payload may be read.
      #expect(received.allSatisfy { $0 == 0x5A }, "seed \(seed)")
      if server.failure == nil, client.failure == nil { intact += 1 } else { broken += 1 }
    }
    #expect(intact > 100)
    #expect(broken > 1000)
  }

  @Test("Mutated PEM is read or refused, and never traps", .tags(.slow))
  func mutatedPEM() throws {
    let seed: UInt64 = 0x7E15_0003
    var random = SplitMix(state: seed)
    let identity = try Identity().selfSigned
    var refused = 0
    for _ in 0..<5000 {
      let chain = random.mutate(identity.certificate)
      let key = Bool.random(using: &random) ? identity.key : random.mutate(identity.key)
      do {
        _ = try CertificateFiles(chain: pem(chain, "c"), key: pem(key, "k"))
      } catch {
        refused += 1
        #expect(!error.description.isEmpty, "seed \(seed)")
      }
    }
    #expect(refused > 1000)
  }
}
