internal import System
internal import CLinux
public import NetworkTypes

/// The host's own addresses.
public enum Interfaces {
  /// Every address of every interface that is up.
  public static func addresses() -> [IPAddress] { all().map(\.address.address) }

  /// The addresses of one interface, with the scope where they need it; empty if there is no such interface.
  public static func addresses(of name: String) -> [SocketAddress] {
    all().filter { $0.interface == name }.map(\.address)
  }

  /// The index of an interface, from the zone after the % of a link-local address. A number is returned unchanged.
  public static func index(of name: String) -> UInt32? {
    if let number = UInt32(decimalDigits: name) { return number }
    let index = unsafe if_nametoindex(name)
    return index == 0 ? nil : index
  }

  private static func all() -> [(interface: String, address: SocketAddress)] {
    var list: UnsafeMutablePointer<ifaddrs>?
    guard unsafe getifaddrs(&list) == 0, let first = unsafe list else { return [] }
    defer { unsafe freeifaddrs(first) }
    var result: [(interface: String, address: SocketAddress)] = []
    var entry: UnsafeMutablePointer<ifaddrs>? = unsafe first
    while let current = unsafe entry {
      unsafe entry = current.pointee.ifa_next
      guard unsafe current.pointee.ifa_flags & UInt32(IFF_UP) != 0, let name = unsafe current.pointee.ifa_addr
      else { continue }
      let family = Int32(unsafe name.pointee.sa_family)
      guard family == AF_INET || family == AF_INET6 else { continue }
      var storage = sockaddr_storage()
      let size = family == AF_INET ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
      unsafe withUnsafeMutableBytes(of: &storage) {
        unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: name, count: size))
      }
      if let address = unsafe SocketAddress(from: &storage) {
        result.append((unsafe String(cString: current.pointee.ifa_name), address))
      }
    }
    return result
  }

  /// The source address of the default route; nil without one. Connecting a UDP socket chooses a route without sending.
  public static func defaultRouteSource(_ family: IPAddress.Family) -> IPAddress? {
    // Any global address that is not this host's works, because connect sends nothing.
    let anywhere = family == .ipv4 ? IPAddress(1, 0, 0, 0) : IPAddress(ipv6High: 0x2000 << 48, low: 1)
    guard let descriptor = try? Sockets.open(family, SOCK_DGRAM) else { return nil }
    let raw = descriptor.rawValue
    let status = unsafe SocketAddress(anywhere, port: 9).withKernelForm { unsafe clinux_connect(raw, $0, $1) }
    guard status == 0, let local = Sockets.localAddress(raw)?.address, !local.isUnspecified else { return nil }
    return local
  }

  /// The host's name, or `localhost` if a certificate cannot hold the name.
  public static var hostName: String {
    var name = [CChar](repeating: 0, count: 256)
    guard unsafe gethostname(&name, 255) == 0 else { return "localhost" }
    let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    let text = String(decoding: bytes, as: UTF8.self)
    return text.isEmpty ? "localhost" : text
  }

  /// Whether the host supports IPv6.
  public static var hasIPv6: Bool {
    guard let descriptor = try? Sockets.open(.ipv6, SOCK_DGRAM) else { return false }
    return (try? Sockets.bind(descriptor.rawValue, to: SocketAddress(.ipv6Loopback, port: 0))) != nil
  }
}
