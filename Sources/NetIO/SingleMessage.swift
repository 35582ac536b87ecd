internal import CLinux

/// The header of one datagram for `recvmsg` and `sendmsg`, for what is sent and received one by one; batches keep theirs.
enum SingleMessage {
  /// Calls with a header of this payload and address.
  ///
  /// - Parameter nameByteCount: of the address that stands in `name`; all of it where one is to be put there.
  static func with<Result>(
    _ payload: UnsafeMutableRawBufferPointer, _ name: inout sockaddr_storage,
    nameByteCount: socklen_t = socklen_t(MemoryLayout<sockaddr_storage>.size), _ call: (inout msghdr) -> Result
  ) -> Result {
    // Sound: all that the header points at lives until the call has returned, and the kernel keeps none of it.
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
