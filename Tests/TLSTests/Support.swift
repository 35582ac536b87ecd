import NetworkTypes
import System
import TLS

/// PEM in memory, with its name for errors.
func pem(_ bytes: [UInt8], _ name: String) -> PEMSource { .bytes(bytes, name: name) }

/// A certificate with its contexts for both ends.
struct Identity {
  let selfSigned: SelfSignedCertificate
  let files: CertificateFiles

  init(
    hostNames: [String] = ["turn.example.org", "*.example.net"],
    addresses: [IPAddress] = [.ipv4Loopback, .ipv6Loopback],
    now: UnixTime = realNow()
  ) throws {
    selfSigned = try SelfSignedCertificate(
      commonName: "turnpike", hostNames: hostNames, addresses: addresses, now: now)
    files = try CertificateFiles(chain: pem(selfSigned.certificate, "chain"), key: pem(selfSigned.key, "key"))
  }

  var authorities: TLSContext.Verification { .authorities(pem(selfSigned.certificate, "ca")) }
}

/// Exchanges bytes between two engines until both are silent. Returns the bytes that each end read.
@discardableResult
func exchange(_ client: inout TLSEngine, _ server: inout TLSEngine) -> (client: [UInt8], server: [UInt8]) {
  var toClient: [UInt8] = []
  var toServer: [UInt8] = []
  client.handshake()
  for _ in 0..<1000 {
    guard client.hasOutput || server.hasOutput else { break }
    server.receive(drain(&client, upTo: 65_536).span.rawBytes)
    toServer += readAll(&server).bytes
    client.receive(drain(&server, upTo: 65_536).span.rawBytes)
    toClient += readAll(&client).bytes
  }
  return (toClient, toServer)
}

func drain(_ engine: inout TLSEngine, upTo limit: Int = .max) -> [UInt8] {
  let bytes = engine.output.extracting(first: limit).copied()
  engine.consumeOutput(bytes.count)
  return bytes
}

/// Reads everything available. Returns the bytes and the last result.
func readAll(_ engine: inout TLSEngine) -> (bytes: [UInt8], end: ReadResult<TLSError>) {
  var result: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 2048)
  while true {
    let outcome = read(&engine, into: &buffer)
    guard case .bytes(let count) = outcome else { return (result, outcome) }
    result += buffer.prefix(count)
  }
}

func read(_ engine: inout TLSEngine, into buffer: inout [UInt8]) -> ReadResult<TLSError> {
  var span = buffer.mutableSpan
  var bytes = unsafe span.mutableBytes
  return engine.read(into: &bytes)
}

func write(_ engine: inout TLSEngine, _ bytes: [UInt8]) -> TLSEngine.WriteResult { engine.write(bytes.span.rawBytes) }

func receive(_ engine: inout TLSEngine, _ bytes: [UInt8]) -> Bool { engine.receive(bytes.span.rawBytes) }
