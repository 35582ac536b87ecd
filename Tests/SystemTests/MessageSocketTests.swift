import NetworkTypes
import Testing

@testable import System

@Suite("Messages with descriptors between processes")
struct MessageSocketTests {
  private func pair() throws -> MessagePair {
    let ends = try MessageSocket.pair()
    return MessagePair(
      first: MessageSocket(owning: FileDescriptor(owning: ends.first)),
      second: MessageSocket(owning: FileDescriptor(owning: ends.second)))
  }

  private struct MessagePair: ~Copyable {
    let first: MessageSocket
    let second: MessageSocket
  }

  @Test("Messages keep their borders, and a descriptor comes as another number of the same file")
  func descriptors() throws {
    let ends = try pair()
    let inner = try MessageSocket.pair()
    let soon = Instant.read().advanced(by: .seconds(2))
    try ends.first.send([1], until: soon)
    try ends.first.send([2, 3], [inner.first, inner.second], until: soon)
    #expect(try ends.second.receive(until: soon)?.bytes == [1])
    let message = try #require(try ends.second.receive(until: soon))
    #expect(message.bytes == [2, 3] && message.descriptors.count == 2 && !message.descriptors.contains(inner.first))
    _ = FileDescriptor(owning: inner.first)
    _ = FileDescriptor(owning: inner.second)
    let far = MessageSocket(owning: FileDescriptor(owning: message.descriptors[0]))
    let near = MessageSocket(owning: FileDescriptor(owning: message.descriptors[1]))
    try near.send([9], until: soon)
    #expect(try far.receive(until: soon)?.bytes == [9])
  }

  @Test("Messages from before the close are read, then the end; without a message the wait ends at its deadline")
  func ends() throws {
    let ends = try MessageSocket.pair()
    let first = MessageSocket(owning: FileDescriptor(owning: ends.first))
    let soon = Instant.read().advanced(by: .seconds(2))
    #expect(throws: Errno.timedOut) { try first.receive(until: Instant.read().advanced(by: .milliseconds(5))) }
    #expect(throws: Errno.wouldBlock) { try first.receiveNow() }
    do {
      let second = MessageSocket(owning: FileDescriptor(owning: ends.second))
      // If the other end closes with unread bytes, the kernel reports ECONNRESET after its messages.
      try first.send([7], until: soon)
      try second.send([8], until: soon)
    }
    #expect(try first.receive(until: soon)?.bytes == [8])
    let end = try first.receive(until: soon)
    #expect(end == nil)
  }

  @Test("A signal keeps its number on its way to another process")
  func signals() {
    for signal in [Signal.terminate, .interrupt, .reload, .upgrade] { #expect(Signal(number: signal.number) == signal) }
    #expect(Signal(number: 9) == nil)
  }
}
