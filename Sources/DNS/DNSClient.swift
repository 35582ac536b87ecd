internal import CCares
public import NetworkTypes
internal import TURNClient

/// Asks name servers with c-ares: those of the system, or one that the user names. Every query blocks for a few seconds
/// at most.
@safe
public struct DNSClient: ~Copyable {
  private let channel: OpaquePointer
  private let isSystem: Bool
  private let family: IPAddress.Family?

  /// The error text of c-ares if the client could not be created.
  public struct SetupError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
  }

  /// - Parameters:
  ///   - server: nil for the servers of /etc/resolv.conf.
  ///   - timeout: for one attempt at one server; there are two attempts.
  public init(server: SocketAddress? = nil, family: IPAddress.Family? = nil, timeout: Duration) throws(SetupError) {
    // The library counts these calls, so each client may call it.
    var status = ares_library_init(ARES_LIB_INIT_ALL)
    guard status == ccares_success() else { throw SetupError(description: Self.words(status)) }
    var options = unsafe ares_options()
    unsafe options.timeout = timeout.milliseconds
    unsafe options.tries = 2
    var handle: OpaquePointer?
    status = unsafe ares_init_options(&handle, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES)
    guard status == ccares_success(), let channel = unsafe handle else {
      ares_library_cleanup()
      throw SetupError(description: Self.words(status))
    }
    if let server {
      status = unsafe ares_set_servers_ports_csv(channel, server.description)
      guard status == ccares_success() else {
        unsafe ares_destroy(channel)
        ares_library_cleanup()
        throw SetupError(description: "\(server): \(Self.words(status))")
      }
    }
    unsafe self.channel = channel
    isSystem = server == nil
    self.family = family
  }

  deinit {
    unsafe ares_destroy(channel)
    ares_library_cleanup()
  }

  // MARK: - Questions

  enum RecordType: Int32 {
    case a = 1
    case aaaa = 28
    case srv = 33
    case naptr = 35
  }

  /// The result of one query, which the callback sets.
  private final class Answer {
    var status: Int32?
    var bytes: [UInt8] = []
  }

  /// Sends a query, and returns the bytes of the reply for the parsers of `DNSReply`.
  mutating func ask(_ name: String, _ type: RecordType) throws(LookupFailure) -> [UInt8] {
    let answer = Answer()
    // Safe: the answer lives until the query has ended, and `wait` returns only then.
    let context = unsafe Unmanaged.passUnretained(answer).toOpaque()
    unsafe ares_query(
      channel, name, 1, type.rawValue,
      { context, status, _, bytes, count in
        guard let context = unsafe context else { return }
        let answer = unsafe Unmanaged<Answer>.fromOpaque(context).takeUnretainedValue()
        answer.status = status
        if let bytes = unsafe bytes, count > 0 {
          answer.bytes = unsafe Array(UnsafeBufferPointer(start: bytes, count: Int(count)))
        }
      }, context)
    wait(until: answer)
    return try withExtendedLifetime(answer) { () throws(LookupFailure) in
      guard answer.status == ccares_success() else { throw Self.failure(answer.status ?? ccares_cancelled()) }
      return answer.bytes
    }
  }

  /// Runs c-ares until it has called the callback, which it always does, at the latest after the last attempt.
  private func wait(until answer: Answer) {
    while answer.status == nil {
      var sockets = [ares_socket_t](repeating: ccares_no_socket(), count: Int(ARES_GETSOCK_MAXNUM))
      let bits = unsafe ares_getsock(channel, &sockets, Int32(sockets.count))
      var entries: [pollfd] = []
      for index in sockets.indices {
        let isReadable = bits & (1 << Int32(index)) != 0
        let isWritable = bits & (1 << Int32(index + sockets.count)) != 0
        guard isReadable || isWritable else { continue }
        let events = (isReadable ? POLLIN : 0) | (isWritable ? POLLOUT : 0)
        entries.append(pollfd(fd: sockets[index], events: Int16(events), revents: 0))
      }
      var limit = timeval(tv_sec: 1, tv_usec: 0)
      var left = timeval()
      let chosen = unsafe ares_timeout(channel, &limit, &left)
      let milliseconds =
        unsafe chosen.map { unsafe Int32(clamping: $0.pointee.tv_sec * 1000 + $0.pointee.tv_usec / 1000 + 1) } ?? 1000
      _ = unsafe poll(&entries, nfds_t(entries.count), milliseconds)
      for entry in entries where entry.revents != 0 {
        let isReadable = Int32(entry.revents) & (POLLIN | POLLERR | POLLHUP) != 0
        let isWritable = Int32(entry.revents) & POLLOUT != 0
        unsafe ares_process_fd(
          channel, isReadable ? entry.fd : ccares_no_socket(), isWritable ? entry.fd : ccares_no_socket())
      }
      // c-ares handles its timeouts.
      unsafe ares_process_fd(channel, ccares_no_socket(), ccares_no_socket())
    }
  }

  private static func failure(_ status: Int32) -> LookupFailure {
    switch status {
    case ccares_not_found(), ccares_no_data(): .notFound
    case ccares_timeout(), ccares_refused(): .silent
    default: .failed(words(status))
    }
  }

  static func words(_ status: Int32) -> String {
    guard let text = unsafe ares_strerror(status) else { return "c-ares error \(status)" }
    return unsafe String(cString: text)
  }

  /// Whether this client also looks up addresses; if not, the system does, with its hosts file.
  public var answersAddresses: Bool { !isSystem }

  /// The families to query, in order: the requested one, or IPv6 and IPv4.
  var wantedFamilies: [IPAddress.Family] { family.map { [$0] } ?? [.ipv6, .ipv4] }
}
