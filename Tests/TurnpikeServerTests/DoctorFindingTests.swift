internal import NetworkTypes
internal import System
internal import Testing

@testable internal import TurnpikeServer

@Suite("Findings of turnpike doctor about the clock and addresses")
struct DoctorFindingTests {
  /// Each finding that is not good has a remedy, and each good one has none.
  private func check(_ finding: Doctor.Finding, _ verdict: Doctor.Verdict, _ remedy: String?) {
    #expect(finding.verdict == verdict && (finding.remedy == nil) == (verdict == .good), "\(finding)")
    if let remedy { #expect(finding.remedy?.contains(remedy) == true, "\(finding)") }
  }

  @Test("A clock that no service keeps, or that is more than a second wrong, is a warning")
  func clock() {
    check(Doctor.finding(.synchronized(maximumError: .milliseconds(1000))), .good, nil)
    check(Doctor.finding(.synchronized(maximumError: .milliseconds(1001))), .warning, "chronyc sources")
    check(Doctor.finding(.unsynchronized), .warning, "run chrony")
    check(Doctor.finding(.unknown(.permissionDenied)), .warning, "on the host")
  }

  private func relay(_ found: IPAddress?, note: String = "", reasons: [String] = []) -> Doctor.RelayFacts {
    let local = IPAddress(10, 0, 0, 5)
    let finding = PublicAddressSearch.Finding(
      local: local, found: found, source: found == nil ? "" : "cloud (aws)", note: note, reasons: reasons)
    return Doctor.RelayFacts(local: local, advertised: found ?? local, finding: finding)
  }

  @Test("A public address that is not found, or whose NAT changes ports, is a warning with a remedy")
  func addresses() {
    let open = IPAddress(9, 8, 7, 6)
    check(Doctor.finding(relay(open)), .good, nil)
    #expect(Doctor.finding(relay(open)).text == "10.0.0.5, told to clients as 9.8.7.6, found by cloud (aws)")
    check(Doctor.finding(relay(open, note: "forward the ports")), .warning, "forward the ports")
    let missing = Doctor.finding(relay(nil, reasons: ["interface: 10.0.0.5 is private", "cloud: nothing answers"]))
    check(missing, .warning, "relay.advertise")
    #expect(missing.text.contains("interface: 10.0.0.5 is private; cloud: nothing answers"))
  }

  @Test("Two relays with the same public address give one warning; with different ones they give none")
  func shared() {
    func facts(_ last: UInt8, _ advertised: UInt8, found: Bool = true) -> Doctor.RelayFacts {
      var facts = relay(found ? IPAddress(9, 9, 9, advertised) : nil)
      facts.local = IPAddress(10, 0, 0, last)
      facts.advertised = IPAddress(9, 9, 9, advertised)
      if !found { facts.finding = nil }
      return facts
    }
    #expect(Doctor.sharedFindings([facts(5, 1), facts(6, 2)]).isEmpty)
    // A configured address is among the problems of the configuration.
    #expect(Doctor.sharedFindings([facts(5, 1, found: false), facts(6, 1, found: false)]).isEmpty)
    let findings = Doctor.sharedFindings([facts(5, 1), facts(6, 1), facts(7, 2)])
    #expect(findings.count == 1 && findings[0].text.hasPrefix("9.9.9.1 is told to clients for 10.0.0.5 and 10.0.0.6: "))
    check(findings[0], .warning, "relay.addresses")
  }
}
