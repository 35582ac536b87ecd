public import Configuration
internal import JSON
public import NetworkTypes

/// What is pasted into `new RTCPeerConnection(…)`.
public enum IceServers {
  /// The URLs that clients reach these listeners by.
  ///
  /// A listener on every address stands for the address that clients are told for relays of its family; browsers
  /// need a name for `turns:` with a real certificate, which nobody but the operator knows.
  public static func urls(listeners: [Settings.Listener], reachableAddresses: [IPAddress]) -> [String] {
    var urls: [String] = []
    for listener in listeners where listener.transport != .dtls {
      for address in hosts(listener.address.address, reachableAddresses) {
        let host = address.family == .ipv6 ? "[\(address)]" : "\(address)"
        let scheme = listener.transport.isSecure ? "turns" : "turn"
        let transport = listener.transport == .udp ? "udp" : "tcp"
        let url = "\(scheme):\(host):\(listener.address.port)?transport=\(transport)"
        if !urls.contains(url) { urls.append(url) }
      }
    }
    return urls
  }

  private static func hosts(_ bound: IPAddress, _ reachable: [IPAddress]) -> [IPAddress] {
    guard bound.isUnspecified else { return [bound] }
    return reachable.filter { $0.family == bound.family }
  }

  /// The one line: `{"iceServers":[{"urls":[…],"username":…,"credential":…}]}`.
  public static func json(urls: [String], username: String, credential: String) -> String {
    let server: JSONValue = [
      "urls": .array(urls.map { .string($0) }), "username": .string(username), "credential": .string(credential),
    ]
    let document: JSONValue = ["iceServers": [server]]
    return document.encode()
  }
}
