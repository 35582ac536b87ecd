internal import CLinux
public import NetworkTypes

/// One end of a connection between two processes of one host, for messages with descriptors (SOCK_SEQPACKET,
/// SCM_RIGHTS). Every wait has a deadline.
public struct MessageSocket: ~Copyable, Sendable {
  private let descriptor: FileDescriptor

  public var rawValue: Int32 { descriptor.rawValue }

  /// Limits of one message: bytes, and descriptors (the kernel's is 253).
  public static let byteLimit = 64 << 10
  public static let descriptorLimit = 250

  /// A received message.
  public struct Message: Sendable {
    public var bytes: [UInt8]
    /// Open descriptors; the receiver owns them.
    public var descriptors: [Int32]
  }

  public init(owning descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

  /// Two connected ends, which no started program inherits.
  public static func pair() throws(Errno) -> (first: Int32, second: Int32) {
    var ends: (Int32, Int32) = (-1, -1)
    let kind = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    try retrying {
      unsafe withUnsafeMutablePointer(to: &ends) { pointer in
        unsafe pointer.withMemoryRebound(to: Int32.self, capacity: 2) { unsafe socketpair(AF_UNIX, kind, 0, $0) }
      }
    }
    // Room for some messages, so that neither end waits for the other. The kernel may give less.
    for end in [ends.0, ends.1] {
      var size = Int32(1 << 20)
      for option in [SO_SNDBUF, SO_RCVBUF] {
        _ = unsafe setsockopt(end, SOL_SOCKET, option, &size, socklen_t(MemoryLayout<Int32>.size))
      }
    }
    return ends
  }

  /// Sends a message; the descriptors stay open here.
  public func send(_ bytes: [UInt8], _ descriptors: [Int32] = [], until deadline: Instant) throws(Errno) {
    precondition(bytes.count <= Self.byteLimit && descriptors.count <= Self.descriptorLimit && !bytes.isEmpty)
    while true {
      do throws(Errno) { return try attemptToSend(bytes, descriptors) } catch {
        // Too many descriptors are on their way; the receiver must take some first.
        guard error == .wouldBlock || error.rawValue == ETOOMANYREFS else { throw error }
        guard Instant.read() < deadline else { throw .timedOut }
        if error == .wouldBlock {
          try wait(for: Int16(POLLOUT), until: deadline)
        } else {
          _ = poll(nil, 0, 1)
        }
      }
    }
  }

  private func attemptToSend(_ bytes: [UInt8], _ descriptors: [Int32]) throws(Errno) {
    let raw = rawValue
    var copy = bytes
    let count = bytes.count
    let rightsByteCount = descriptors.count * MemoryLayout<Int32>.size
    var control = [UInt64](repeating: 0, count: (clinux_cmsg_space(rightsByteCount) + 7) / 8)
    let status: Result<Int, Errno> = unsafe copy.withUnsafeMutableBytes { data in
      unsafe control.withUnsafeMutableBytes { area in
        var piece = unsafe iovec(iov_base: data.baseAddress, iov_len: count)
        return unsafe withUnsafeMutablePointer(to: &piece) { piece in
          var message = unsafe msghdr()
          unsafe message.msg_iov = piece
          unsafe message.msg_iovlen = 1
          if !descriptors.isEmpty {
            unsafe message.msg_control = area.baseAddress
            unsafe message.msg_controllen = clinux_cmsg_space(rightsByteCount)
            if let head = unsafe clinux_cmsg_first(&message) {
              unsafe head.pointee.cmsg_level = SOL_SOCKET
              unsafe head.pointee.cmsg_type = Int32(SCM_RIGHTS)
              unsafe head.pointee.cmsg_len = clinux_cmsg_len(rightsByteCount)
              let data = unsafe clinux_cmsg_data(head)
              for (index, descriptor) in descriptors.enumerated() {
                unsafe data.storeBytes(of: descriptor, toByteOffset: index * 4, as: Int32.self)
              }
            }
          }
          let sent = unsafe sendmsg(raw, &message, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
          return sent >= 0 ? .success(sent) : .failure(.current)
        }
      }
    }
    if case .failure(let error) = status {
      if error == .interrupted { return try attemptToSend(bytes, descriptors) }
      throw error
    }
  }

  /// The next message; nil if the other end is closed.
  ///
  /// - Throws: `timedOut` at the deadline.
  public func receive(until deadline: Instant) throws(Errno) -> Message? {
    while true {
      do throws(Errno) { return try receiveNow() } catch {
        guard error == .wouldBlock else { throw error }
        guard Instant.read() < deadline else { throw .timedOut }
        try wait(for: Int16(POLLIN), until: deadline)
      }
    }
  }

  /// A message that has arrived; nil if the other end is closed.
  ///
  /// - Throws: `wouldBlock` if there is none now.
  public func receiveNow() throws(Errno) -> Message? {
    let raw = rawValue
    var bytes = [UInt8](repeating: 0, count: Self.byteLimit)
    let space = clinux_cmsg_space(Self.descriptorLimit * MemoryLayout<Int32>.size)
    var control = [UInt64](repeating: 0, count: (space + 7) / 8)
    var descriptors: [Int32] = []
    var isCut = false
    let status: Result<Int, Errno> = unsafe bytes.withUnsafeMutableBytes { data in
      unsafe control.withUnsafeMutableBytes { area in
        var piece = unsafe iovec(iov_base: data.baseAddress, iov_len: data.count)
        return unsafe withUnsafeMutablePointer(to: &piece) { piece in
          var message = unsafe msghdr()
          unsafe message.msg_iov = piece
          unsafe message.msg_iovlen = 1
          unsafe message.msg_control = area.baseAddress
          unsafe message.msg_controllen = space
          let count = unsafe recvmsg(raw, &message, Int32(MSG_DONTWAIT) | Int32(MSG_CMSG_CLOEXEC))
          if count < 0 { return .failure(.current) }
          isCut = unsafe message.msg_flags & Int32(MSG_CTRUNC | MSG_TRUNC) != 0
          unsafe Self.read(&message, into: &descriptors)
          return .success(count)
        }
      }
    }
    switch status {
    case .failure(.interrupted): return try receiveNow()
    // The other end has closed without reading everything. The messages that it sent before come next.
    case .failure(.connectionReset): return try receiveNow()
    case .failure(let error): throw error
    case .success(0): return nil
    case .success(let count):
      guard !isCut else {
        for descriptor in descriptors { _ = FileDescriptor(owning: descriptor) }
        throw .invalidArgument
      }
      return Message(bytes: Array(bytes.prefix(count)), descriptors: descriptors)
    }
  }

  private static func read(_ message: inout msghdr, into descriptors: inout [Int32]) {
    var next = unsafe clinux_cmsg_first(&message)
    while let head = unsafe next {
      if unsafe head.pointee.cmsg_level == SOL_SOCKET, unsafe head.pointee.cmsg_type == Int32(SCM_RIGHTS) {
        let count = unsafe (head.pointee.cmsg_len - clinux_cmsg_len(0)) / MemoryLayout<Int32>.size
        let data = unsafe clinux_cmsg_data(head)
        for index in 0..<count {
          descriptors.append(unsafe data.loadUnaligned(fromByteOffset: index * 4, as: Int32.self))
        }
      }
      unsafe next = clinux_cmsg_next(&message, head)
    }
  }

  private func wait(for events: Int16, until deadline: Instant) throws(Errno) {
    var interest = pollfd(fd: rawValue, events: events, revents: 0)
    let left = deadline.nanoseconds(since: .read()) / 1_000_000 + 1
    let status = unsafe poll(&interest, 1, Int32(clamping: left))
    if status < 0, Errno.current != .interrupted { throw .current }
  }

  /// Takes the descriptor, for a program that inherits it.
  public consuming func release() -> Int32 { descriptor.release() }
}
