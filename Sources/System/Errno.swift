internal import CLinux

/// The error number of a system call.
public struct Errno: Error, RawRepresentable, Hashable, Sendable {
  public let rawValue: Int32

  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// The calling thread's errno. Read it directly after the call, before other code can change it.
  package static var current: Errno { Errno(rawValue: clinux_errno()) }

  public static let addressInUse = Errno(rawValue: EADDRINUSE)
  public static let addressNotAvailable = Errno(rawValue: EADDRNOTAVAIL)
  public static let familyNotSupported = Errno(rawValue: EAFNOSUPPORT)
  public static let wouldBlock = Errno(rawValue: EAGAIN)
  public static let interrupted = Errno(rawValue: EINTR)
  public static let inProgress = Errno(rawValue: EINPROGRESS)
  public static let permissionDenied = Errno(rawValue: EACCES)
  public static let notPermitted = Errno(rawValue: EPERM)
  public static let fileExists = Errno(rawValue: EEXIST)
  public static let noSuchFile = Errno(rawValue: ENOENT)
  public static let connectionRefused = Errno(rawValue: ECONNREFUSED)
  public static let connectionReset = Errno(rawValue: ECONNRESET)
  public static let timedOut = Errno(rawValue: ETIMEDOUT)
  public static let tooManyFiles = Errno(rawValue: EMFILE)
  public static let noBuffers = Errno(rawValue: ENOBUFS)
  public static let invalidArgument = Errno(rawValue: EINVAL)
  public static let notImplemented = Errno(rawValue: ENOSYS)
}

extension Errno: CustomStringConvertible {
  /// The system's text, for example "Address already in use".
  public var description: String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
      guard let base = buffer.baseAddress, unsafe strerror_r(rawValue, base, 256) == 0 else {
        return "error \(rawValue)"
      }
      return unsafe String(cString: base)
    }
  }
}

/// Stops the program for errors that only a bug of the program can cause: a closed descriptor (EBADF) or an invalid
/// address (EFAULT). Otherwise it could loop forever or use a descriptor of another owner.
///
/// It is not for calls on inherited descriptors: standard output may be closed.
package func stopAfterOwnMistake(_ call: StaticString, _ error: Errno) {
  guard error.rawValue == EBADF || error.rawValue == EFAULT else { return }
  fatalError("\(call): \(error). This is a bug of this program.")
}

/// Repeats a system call that a signal interrupted (EINTR), and throws every other error.
@discardableResult
package func retrying(_ call: () -> Int) throws(Errno) -> Int { try repeatWhileInterrupted(call) }

/// Does the same for calls that return an `Int32`.
@discardableResult
package func retrying(_ call: () -> Int32) throws(Errno) -> Int32 { try repeatWhileInterrupted(call) }

private func repeatWhileInterrupted<Result: SignedInteger>(_ call: () -> Result) throws(Errno) -> Result {
  while true {
    let result = call()
    if result >= 0 { return result }
    let error = Errno.current
    if error != .interrupted { throw error }
  }
}
