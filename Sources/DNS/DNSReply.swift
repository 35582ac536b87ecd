internal import CCares
public import NetworkTypes
public import TURNClient

/// Reads replies with c-ares' parsers, which validate them; a malformed reply gives no records.
public enum DNSReply {
  /// The SRV records of a reply.
  public static func services(in reply: [UInt8]) -> [ServiceRecord] {
    var list: UnsafeMutablePointer<ares_srv_reply>?
    guard unsafe ares_parse_srv_reply(reply, Int32(clamping: reply.count), &list) == ccares_success() else {
      return []
    }
    defer { unsafe ares_free_data(list) }
    var records: [ServiceRecord] = []
    var entry = unsafe list
    while let current = unsafe entry {
      if let host = unsafe current.pointee.host {
        unsafe records.append(
          ServiceRecord(
            priority: current.pointee.priority, weight: current.pointee.weight, port: current.pointee.port,
            target: name(String(cString: host))))
      }
      unsafe entry = current.pointee.next
    }
    return records
  }

  /// The NAPTR records of a reply.
  public static func naming(in reply: [UInt8]) -> [NamingRecord] {
    var list: UnsafeMutablePointer<ares_naptr_reply>?
    guard unsafe ares_parse_naptr_reply(reply, Int32(clamping: reply.count), &list) == ccares_success() else {
      return []
    }
    defer { unsafe ares_free_data(list) }
    var records: [NamingRecord] = []
    var entry = unsafe list
    while let current = unsafe entry {
      if let flags = unsafe current.pointee.flags, let service = unsafe current.pointee.service,
        let replacement = unsafe current.pointee.replacement
      {
        // Safe: the library ends each character string with a NUL.
        unsafe records.append(
          NamingRecord(
            order: current.pointee.order, preference: current.pointee.preference,
            flags: String(cString: UnsafeRawPointer(flags).assumingMemoryBound(to: CChar.self)),
            services: String(cString: UnsafeRawPointer(service).assumingMemoryBound(to: CChar.self)),
            replacement: name(String(cString: replacement))))
      }
      unsafe entry = current.pointee.next
    }
    return records
  }

  /// The library gives the root name, which means "not offered", as an empty string.
  private static func name(_ text: String) -> String { text.isEmpty ? "." : text }

  private static let addressLimit = 64

  /// The addresses of a family in a reply, at most 64.
  public static func addresses(in reply: [UInt8], family: IPAddress.Family) -> [IPAddress] {
    family == .ipv4 ? ipv4(reply) : ipv6(reply)
  }

  private static func ipv4(_ reply: [UInt8]) -> [IPAddress] {
    var found = [ares_addrttl](repeating: ares_addrttl(), count: addressLimit)
    var count = Int32(found.count)
    let status = unsafe ares_parse_a_reply(reply, Int32(clamping: reply.count), nil, &found, &count)
    guard status == ccares_success() else { return [] }
    return found.prefix(Int(max(count, 0))).map { IPAddress(ipv4: UInt32(bigEndian: $0.ipaddr.s_addr)) }
  }

  private static func ipv6(_ reply: [UInt8]) -> [IPAddress] {
    var found = [ares_addr6ttl](repeating: ares_addr6ttl(), count: addressLimit)
    var count = Int32(found.count)
    let status = unsafe ares_parse_aaaa_reply(reply, Int32(clamping: reply.count), nil, &found, &count)
    guard status == ccares_success() else { return [] }
    return found.prefix(Int(max(count, 0))).map { entry in
      var address = entry.ip6addr
      let words = unsafe withUnsafeBytes(of: &address) { bytes in
        (0..<2).map { word in unsafe bytes[(word * 8)..<(word * 8 + 8)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
      }
      return IPAddress(ipv6High: words[0], low: words[1])
    }
  }
}

extension DNSClient {
  /// Looks up the NAPTR records of a name. Throws `notFound` if there are none.
  public mutating func naming(of name: String) throws(LookupFailure) -> [NamingRecord] {
    let records = DNSReply.naming(in: try ask(name, .naptr))
    guard !records.isEmpty else { throw .notFound }
    return records
  }

  /// Looks up the SRV records of a name. Throws `notFound` if there are none.
  public mutating func services(of name: String) throws(LookupFailure) -> [ServiceRecord] {
    let records = DNSReply.services(in: try ask(name, .srv))
    guard !records.isEmpty else { throw .notFound }
    return records
  }

  /// Looks up the addresses of a name: first IPv6, then IPv4. An address as the name is its own result.
  public mutating func addresses(of name: String) throws(LookupFailure) -> [IPAddress] {
    if let address = IPAddress(name) { return [address] }
    var found: [IPAddress] = []
    var failure = LookupFailure.notFound
    for family in wantedFamilies {
      do {
        found += DNSReply.addresses(in: try ask(name, family == .ipv4 ? .a : .aaaa), family: family)
      } catch {
        if error != .notFound { failure = error }
      }
    }
    guard !found.isEmpty else { throw failure }
    return found
  }
}
