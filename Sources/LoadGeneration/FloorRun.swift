internal import NetIO
internal import NetworkTypes

/// One `sendto` and one `recv` for each packet, on one core.
enum FloorRun {
  static func run(_ settings: LoadSettings) throws(LoadError) -> LoadResult {
    do throws(Errno) {
      let receiver = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
      let sender = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
      guard let address = receiver.localAddress else {
        throw Errno.addressNotAvailable
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
}
