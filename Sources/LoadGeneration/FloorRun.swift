internal import NetIO
internal import NetworkTypes
internal import Synchronization
internal import System

/// Measures one `sendto` and one `recv` for each packet, on one core: the least cost of forwarding packets one by one.
///
/// With a rate it measures a thread that wakes for each packet, reads it and sends it on: `epoll_wait`, `recv` and
/// `sendto` alone.
enum FloorRun {
  static func run(_ settings: LoadSettings) throws(LoadError) -> LoadResult {
    do throws(Errno) {
      let receiver = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
      let sender = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
      guard let address = receiver.localAddress else {
        throw Errno.addressNotAvailable
      }
      if case .rate(let rate) = settings.pace {
        return try forward(settings, at: rate, into: receiver, at: address)
      }
      return try exchange(settings, from: sender, to: receiver, at: address)
    } catch {
      throw .socket("the loopback network", reason: error.description)
    }
  }

  private static func exchange(
    _ settings: LoadSettings, from sender: borrowing ClientSocket, to receiver: borrowing ClientSocket,
    at address: SocketAddress
  ) throws(Errno) -> LoadResult {
    let packet = [UInt8](repeating: 0, count: settings.payloadByteCount)
    var buffer = [UInt8](repeating: 0, count: 2048)
    let first = Reading(settings)
    let end = first.instant.advanced(by: settings.duration)
    var result = LoadResult()
    while Instant.read() < end {
      for _ in 0..<100 {
        if try sender.send(packet.span.rawBytes, to: address) { result.sent += 1 }
        var span = buffer.mutableSpan
        // Sound: bytes have no invalid patterns.
        var bytes = unsafe span.mutableBytes
        if case .bytes = receiver.receive(into: &bytes, isStream: false) { result.completed += 1 }
      }
    }
    result.measure(from: first, to: Reading(settings))
    result.lost = result.sent - min(result.completed, result.sent)
    return result
  }

  private static func forward(
    _ settings: LoadSettings, at rate: UInt64, into receiver: borrowing ClientSocket, at address: SocketAddress
  ) throws(Errno) -> LoadResult {
    let onward = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    let sink = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    guard let sinkAddress = sink.localAddress else { throw .addressNotAvailable }
    let source = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    let loop = try EventLoop()
    try loop.add(receiver.rawValue, EventToken(kind: packetKind))
    var alarm = try Alarm()
    try loop.add(alarm.rawValue, EventToken(kind: alarmKind))
    let byteCount = settings.payloadByteCount
    let first = Reading(settings, own: Thread.processorTime)
    let end = first.instant.advanced(by: settings.duration)
    let sent = Atomic<UInt64>(0)
    let generator = try Thread(name: "generator") {
      Thread.withCore(1) {
        generate(rate, byteCount, from: source, to: address, draining: sink, until: end, counting: sent)
      }
    }
    defer { generator.join() }
    // The last packets arrive within 20 ms. One alarm ends the loop, because a timeout for each wait would cost time.
    alarm.ring(by: end.advanced(by: .milliseconds(20)))
    var result = LoadResult()
    result.completed = try Thread.withCore(0) { () throws(Errno) -> UInt64 in
      try pass(from: receiver, over: onward, to: sinkAddress, waitingBy: loop)
    }
    result.measure(from: first, to: Reading(settings, own: Thread.processorTime))
    result.elapsed = end.duration(since: first.instant)
    result.sent = sent.load(ordering: .relaxed)
    result.lost = result.sent - min(result.completed, result.sent)
    return result
  }

  private static let packetKind: UInt8 = 1
  private static let alarmKind: UInt8 = 2

  /// Forwards packets until the alarm rings; returns their number.
  private static func pass(
    from receiver: borrowing ClientSocket, over onward: borrowing ClientSocket, to sink: SocketAddress,
    waitingBy loop: borrowing EventLoop
  ) throws(Errno) -> UInt64 {
    var buffer = [UInt8](repeating: 0, count: 2048)
    var count: UInt64 = 0
    while true {
      for index in 0..<loop.wait() {
        if loop.event(index).token.kind == alarmKind { return count }
        var span = buffer.mutableSpan
        // Sound: bytes have no invalid patterns.
        var bytes = unsafe span.mutableBytes
        guard case .bytes(let received) = receiver.receive(into: &bytes, isStream: false) else { continue }
        if try onward.send(buffer.span.rawBytes.extracting(0..<received), to: sink) { count += 1 }
      }
    }
  }

  /// Sends at a steady pace on its own core without sleeping, and empties the sink.
  private static func generate(
    _ rate: UInt64, _ byteCount: Int, from source: borrowing ClientSocket, to address: SocketAddress,
    draining sink: borrowing ClientSocket, until end: Instant, counting sent: borrowing Atomic<UInt64>
  ) {
    let packet = [UInt8](repeating: 0, count: byteCount)
    var buffer = [UInt8](repeating: 0, count: 2048)
    var now = Instant.read()
    var pacer = Pacer(.rate(rate), burst: 1, now: now)
    while now < end {
      for _ in 0..<pacer.allowance(now: now) {
        pacer.countSent(1)
        if (try? source.send(packet.span.rawBytes, to: address)) == true { sent.add(1, ordering: .relaxed) }
      }
      var span = buffer.mutableSpan
      var bytes = unsafe span.mutableBytes
      _ = sink.receive(into: &bytes, isStream: false)
      now = .read()
    }
  }
}
