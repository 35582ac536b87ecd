internal import CLinux

/// A system call's error, as the kernel gave it.
public struct Errno: Error, RawRepresentable, Hashable, Sendable {
  public let rawValue: Int32

  public init(rawValue: Int32) { self.rawValue = rawValue }

  /// The calling thread's error: to be read before anything else can run.
  static var current: Errno { Errno(rawValue: clinux_errno()) }

  public static let addressInUse = Errno(rawValue: EADDRINUSE)
  public static let addressNotAvailable = Errno(rawValue: EADDRNOTAVAIL)
  public static let familyNotSupported = Errno(rawValue: EAFNOSUPPORT)
  public static let wouldBlock = Errno(rawValue: EAGAIN)
  public static let interrupted = Errno(rawValue: EINTR)
  public static let inProgress = Errno(rawValue: EINPROGRESS)
  public static let permissionDenied = Errno(rawValue: EACCES)
  public static let notPermitted = Errno(rawValue: EPERM)
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
  /// The system's words for it: "Address already in use".
  public var description: String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
      guard let base = buffer.baseAddress, let text = unsafe strerror_r(rawValue, base, 256) else {
        return "error \(rawValue)"
      }
      return unsafe String(cString: text)
    }
  }
}

/// Repeats a call that a signal interrupted; throws what else it fails with.
@discardableResult
func retrying(_ call: () -> Int) throws(Errno) -> Int {
  while true {
    let result = call()
    if result >= 0 { return result }
    let error = Errno.current
    if error != .interrupted { throw error }
  }
}

/// The same for calls that return an `Int32`.
@discardableResult
func retrying32(_ call: () -> Int32) throws(Errno) -> Int32 {
  while true {
    let result = call()
    if result >= 0 { return result }
    let error = Errno.current
    if error != .interrupted { throw error }
  }
}
