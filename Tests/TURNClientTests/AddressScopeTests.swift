import NetworkTypes
import Testing
import TURNClient

@Suite("Scopes of addresses")
struct AddressScopeTests {
  @Test(
    "Every kind of address has its scope",
    arguments: [
      (.nowhere, ["0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1"]),
      (.nowhere, ["::", "ff02::1", "100::1", "::ffff:0.0.0.0", "2002:e000:1::1", "1000::1", "::ffff:255.255.255.255"]),
      (
        .host,
        ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]
      ),
      (.link, ["169.254.0.1", "169.254.169.254", "fe80::1", "febf::1", "::ffff:169.254.1.1"]),
      (
        .site,
        ["10.0.0.1", "172.16.0.1", "172.17.0.2", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255"]
      ),
      (.site, ["192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.0.0.2", "::ffff:10.0.0.1"]),
      (.site, ["fc00::1", "fd12::1", "fec0::1", "2001:db8::1", "3fff::1", "64:ff9b:1::1", "2001:2::1"]),
      (.global, ["8.8.8.8", "100.20.31.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "::ffff:8.8.8.8"]),
      (.global, ["2606:4700::1", "64:ff9b::808:808", "2002:808:808::1", "2001:db7::1"]),
    ] as [(AddressScope, [String])])
  func scopes(scope: AddressScope, texts: [String]) throws {
    for text in texts {
      let address = try #require(IPAddress(text))
      #expect(AddressScope(address) == scope, "\(text) \(AddressScope.judge(address).words)")
    }
  }

  @Test("The wider scope is the greater one, and the kind has a name")
  func order() throws {
    #expect(AddressScope.nowhere < .host && .host < .link && .link < .site && .site < .global)
    #expect(AddressScope.judge(try #require(IPAddress("172.17.0.2"))).words == "is private")
    #expect(
      AddressScope.judge(try #require(IPAddress("::ffff:10.0.0.1"))).words == "carries 10.0.0.1, which is private")
  }
}
