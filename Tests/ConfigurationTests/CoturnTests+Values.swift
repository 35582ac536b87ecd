import NetworkTypes
import TURN
import Testing

@testable import Configuration

/// Values that coturn reads in its own way.
extension CoturnTests {
  @Test("One external-ip is advertised for every relay; of several, each is advertised for its local address")
  func externalAddresses() throws {
    #expect(translate("external-ip=203.0.113.7").yaml == "relay:\n  advertise: \"203.0.113.7\"\n")
    #expect(!translate("relay-ip=203.0.113.7\nexternal-ip=203.0.113.7").yaml.contains("advertise"))
    let both = try read("external-ip=203.0.113.7\nexternal-ip=203.0.113.8/10.1.2.4\n").settings.relay.advertise
    let wanted = ["10.1.2.3": "203.0.113.7", "10.1.2.4": "203.0.113.8"].map {
      (IPAddress($0)!, PublicAddress.address(IPAddress($1)!))
    }
    #expect(both == .mapping(Dictionary(uniqueKeysWithValues: wanted)))
  }

  @Test("A comment after a value is ignored, except in a text")
  func comments() throws {
    let settings = try read(
      "realm=example.org\ntotal-quota=7 # all\nno-tcp-relay # none\nstatic-auth-secret=a #b\nuser-quota=3#c\n"
        + "user-quota=3\t# three\n"
    ).settings
    #expect(settings.limits.allocations == 7 && settings.limits.allocationsPerUser == 3 && !settings.turn.relaysTCP)
    #expect(settings.auth.secrets == ["a #b"])
  }
}
