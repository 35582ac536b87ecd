internal import NetIO
internal import NetworkTypes
internal import Synchronization

/// One `sendto` and one `recv` for each packet, on one core: nothing that passes packets on singly costs less.
///
/// With a rate, what a process costs that is woken for each packet, takes it and sends it on: `epoll_wait`, `recv` and
/// `sendto`, and nothing else.
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
    let end = first.instant.advanced(byMilliseconds: settings.duration)
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
    let first = Reading(settings, own: OwnProcess.threadProcessorTime)
    let end = first.instant.advanced(byMilliseconds: settings.duration)
    let sent = Atomic<UInt64>(0)
    let generator = try Thread(name: "generator") {
      Thread.withCore(1) {
        generate(rate, byteCount, from: source, to: address, draining: sink, until: end, counting: sent)
      }
    }
    defer { generator.join() }
    // The last packets come within this; no wait has a time limit of its own, which would cost something.
    alarm.ring(by: end.advanced(byMilliseconds: 20))
    var result = LoadResult()
    result.completed = try Thread.withCore(0) { () throws(Errno) -> UInt64 in
      try pass(from: receiver, over: onward, to: sinkAddress, waitingBy: loop)
    }
    result.measure(from: first, to: Reading(settings, own: OwnProcess.threadProcessorTime))
    result.elapsed = end.nanoseconds(since: first.instant)
    result.sent = sent.load(ordering: .relaxed)
    result.lost = result.sent - min(result.completed, result.sent)
    return result
  }

  private static let packetKind: UInt8 = 1
  private static let alarmKind: UInt8 = 2

  /// Sends on what comes in until the alarm rings; how many packets that were.
  private static func pass(
    from receiver: borrowing ClientSocket, over onward: borrowing ClientSocket, to sink: SocketAddress,
    waitingBy loop: borrowing EventLoop
  ) throws(Errno) -> UInt64 {
    var buffer = [UInt8](repeating: 0, count: 2048)
    var count: UInt64 = 0
    while true {
      for index in 0..<loop.wait(milliseconds: -1) {
        if loop.event(index).token.kind == alarmKind { return count }
        var span = buffer.mutableSpan
        // Sound: bytes have no invalid patterns.
        var bytes = unsafe span.mutableBytes
        guard case .bytes(let received) = receiver.receive(into: &bytes, isStream: false) else { continue }
        if try onward.send(buffer.span.rawBytes.extracting(0..<received), to: sink) { count += 1 }
      }
    }
  }

  /// Sends at a steady pace without ever sleeping, on a core of its own, and empties the sink.
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
        pacer.noteSent(1)
        if (try? source.send(packet.span.rawBytes, to: address)) == true { sent.add(1, ordering: .relaxed) }
      }
      var span = buffer.mutableSpan
      var bytes = unsafe span.mutableBytes
      _ = sink.receive(into: &bytes, isStream: false)
      now = .read()
    }
  }
}
