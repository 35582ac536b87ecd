internal import CLinux

/// The header of one datagram for `recvmsg` and `sendmsg`; batches have their own headers.
enum SingleMessage {
  /// Calls `body` with a header for this payload and address.
  ///
  /// - Parameter nameByteCount: the length of the address in `name`; the whole size if the kernel writes it.
  static func with<Result>(
    _ payload: UnsafeMutableRawBufferPointer, _ name: inout sockaddr_storage,
    nameByteCount: socklen_t = socklen_t(MemoryLayout<sockaddr_storage>.size), _ call: (inout msghdr) -> Result
  ) -> Result {
    // Sound: everything in the header lives until the call has returned, and the kernel keeps no pointer.
    unsafe withUnsafeMutablePointer(to: &name) { name in
      var vector = unsafe iovec(iov_base: payload.baseAddress, iov_len: payload.count)
      return unsafe withUnsafeMutablePointer(to: &vector) { vector in
        var message = unsafe msghdr()
        unsafe message.msg_name = UnsafeMutableRawPointer(name)
        unsafe message.msg_namelen = nameByteCount
        unsafe message.msg_iov = vector
        unsafe message.msg_iovlen = 1
        return unsafe call(&message)
      }
    }
  }
}
