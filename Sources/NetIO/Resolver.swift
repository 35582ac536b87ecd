internal import CLinux
public import NetworkTypes
internal import System

/// The reason why a name has no address.
public enum ResolutionError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The name does not exist, or has no address of the requested family.
  case notFound
  /// The name servers did not answer; a later attempt may succeed.
  case temporary
  case failed(String)

  public var description: String {
    switch self {
    case .notFound: "no such host name, or no address of the requested family"
    case .temporary: "the name servers do not answer"
    case .failed(let reason): reason
    }
  }
}

/// Resolves names with getaddrinfo(3): hosts file, DNS and the other sources of nsswitch.conf. A call blocks, for
/// seconds if name servers do not answer, so only clients and threads that may wait use it.
public enum Resolver {
  /// The addresses of a name in the order of preference (RFC 6724), each once; at least one.
  public static func addresses(
    of name: String, family: IPAddress.Family? = nil
  ) throws(ResolutionError) -> [SocketAddress] {
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
    unsafe hints.ai_family =
      switch family {
      case .ipv4: AF_INET
      case .ipv6: AF_INET6
      case nil: AF_UNSPEC
      }
    var list: UnsafeMutablePointer<addrinfo>?
    let status = unsafe getaddrinfo(name, nil, &hints, &list)
    guard status == 0 else { throw error(status) }
    defer { unsafe freeaddrinfo(list) }
    var result: [SocketAddress] = []
    var entry = unsafe list
    while let current = unsafe entry {
      unsafe entry = current.pointee.ai_next
      guard let name = unsafe current.pointee.ai_addr else { continue }
      var storage = sockaddr_storage()
      let size = unsafe min(Int(current.pointee.ai_addrlen), MemoryLayout<sockaddr_storage>.size)
      unsafe withUnsafeMutableBytes(of: &storage) {
        unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: name, count: size))
      }
      if let address = unsafe SocketAddress(from: &storage), !result.contains(address) { result.append(address) }
    }
    guard !result.isEmpty else { throw .notFound }
    return result
  }

  private static func error(_ status: Int32) -> ResolutionError {
    switch status {
    case EAI_NONAME, EAI_NODATA, EAI_ADDRFAMILY: return .notFound
    case EAI_AGAIN: return .temporary
    case EAI_SYSTEM: return .failed(Errno.current.description)
    default:
      guard let text = unsafe gai_strerror(status) else { return .failed("getaddrinfo error \(status)") }
      return .failed(unsafe String(cString: text))
    }
  }
}
