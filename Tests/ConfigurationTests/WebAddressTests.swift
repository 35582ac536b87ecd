import NetworkTypes
import Testing

@testable import Configuration

@Suite("Addresses of web URLs")
struct WebAddressTests {
  @Test(
    "The host of a URL gives its addresses if it is an address or localhost",
    arguments: [
      ("http://192.0.2.7/a", ["192.0.2.7:80"]), ("https://192.0.2.7?x", ["192.0.2.7:443"]),
      ("http://192.0.2.7:8080#x", ["192.0.2.7:8080"]), ("http://[2001:db8::1]:81/", ["[2001:db8::1]:81"]),
      ("https://[2001:db8::1]", ["[2001:db8::1]:443"]), ("http://localhost:5/", ["127.0.0.1:5", "[::1]:5"]),
      ("https://LocalHost/", ["127.0.0.1:443", "[::1]:443"]), ("http://localhost.example/", []),
      ("http://example.org:80/", []), ("http://localhost:99999/", []), ("ftp://192.0.2.7/", []), ("", []),
    ] as [(String, [String])])
  func addresses(url: String, expected: [String]) { #expect(url.webAddresses.map(\.description) == expected) }
}
