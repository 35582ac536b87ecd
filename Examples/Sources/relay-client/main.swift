// Two TURN clients that exchange data through a server: relay-client ADDRESS:PORT USER PASSWORD.
import ClientIO
import Crypto
import NetworkTypes
import System
import TURNClient

guard CommandLine.arguments.count == 4, let server = SocketAddress(CommandLine.arguments[1]) else {
  StandardStreams.writeError("usage: relay-client ADDRESS:PORT USER PASSWORD\n")
  Environment.exit(64)
}
let credential = LongTermCredential(username: CommandLine.arguments[2], password: CommandLine.arguments[3])
let deadline = Instant.read().advanced(by: .seconds(10))

func allocate() throws -> AllocationSession {
  var settings = ClientAllocation.Settings()
  settings.credential = credential
  let connection = try ClientConnection(.init(transport: .udp, remote: server), until: deadline)
  var session = AllocationSession(
    connection, settings: settings, generator: SeededGenerator(seed: SecureRandom.bytes(32)))
  try session.allocate()
  return session
}

var caller = try allocate()
var callee = try allocate()
guard let from = caller.client.grant?.relayedAddresses.first, let to = callee.client.grant?.relayedAddresses.first
else { Environment.exit(1) }
try callee.createPermission([from])  // each end admits the other's relayed address
try caller.bindChannel(to: to)
try caller.send(Array("hello".utf8), to: to, until: deadline)
if let datagram = try callee.receiveData(until: deadline) {
  print("\(to) received \"\(String(decoding: datagram.data, as: UTF8.self))\" from \(datagram.peer)")
}
try caller.delete()
try callee.delete()
