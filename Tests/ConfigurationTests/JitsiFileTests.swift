import NetworkTypes
import Testing

@testable import Configuration
import TURN

/// A turnserver.conf with the options that Jitsi Meet's package writes, and values of this test.
@Suite("Jitsi's turnserver.conf")
struct JitsiFileTests {
  private static let text = """
    # written by the package
    use-auth-secret
    keep-address-family
    static-auth-secret=north-wind
    realm=meet.example.org
    cert=/etc/jitsi/meet.crt
    pkey=/etc/jitsi/meet.key
    no-multicast-peers
    no-cli
    no-loopback-peers
    no-tcp-relay
    no-tcp
    listening-port=3478
    tls-listening-port=5349
    no-tlsv1
    no-tlsv1_1
    cipher-list=ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256
    dh2066
    denied-peer-ip=0.0.0.0-0.255.255.255
    denied-peer-ip=10.0.0.0-10.255.255.255
    denied-peer-ip=100.64.0.0-100.127.255.255
    denied-peer-ip=172.16.0.0-172.31.255.255
    denied-peer-ip=240.0.0.0-255.255.255.255
    syslog
    """

  @Test("The settings are those of coturn, with one difference")
  func translation() throws {
    let reader = ConfigurationReader(environment: [:]) { _ in Array(Self.text.utf8) }
    let configuration = try reader.read(coturn: "turnserver.conf", hostAddress: { _ in nil })
    let settings = configuration.settings
    #expect(settings.realm == "meet.example.org" && settings.auth.secrets == ["north-wind"])
    #expect(settings.tls.certificate == "/etc/jitsi/meet.crt" && settings.tls.privateKey == "/etc/jitsi/meet.key")
    #expect(!settings.turn.relaysTCP)
    let listeners = Set((settings.listeners ?? []).map(ListenerURI.text))
    #expect(
      listeners == ["udp://0.0.0.0:3478", "udp://[::]:3478", "tls://0.0.0.0:5349", "tls://[::]:5349"])
    let denied = ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "240.0.0.0/4"]
    #expect(settings.peers.deny == denied.compactMap { CIDRBlock($0) })
    #expect(configuration.warnings.map(\.key) == ["keep-address-family"])
  }

  @Test("The peers and keys of a database's tables are added, and the database's name causes no remark")
  func database() {
    let bytes = Array((Self.text + "\nuserdb=/var/lib/turn/turndb\n").utf8)
    let key = Settings.OAuthKey(id: "north", key: Array(repeating: 7, count: 32), algorithm: .a256gcm, notAfter: nil)
    let translation = CoturnTranslation(
      bytes, database: ["denied-peer-ip=192.0.2.0-192.0.2.255"], oauthKeys: [key], hostAddress: { _ in nil })
    #expect(translation.remarks.filter(\.isDifference).map(\.option) == ["keep-address-family"])
    let settings = parse(translation.yaml).settings
    #expect(settings.peers.deny.last == CIDRBlock("192.0.2.0/24"))
    #expect(settings.auth.oauthKeys == [key])
    #expect(settings.auth.secrets == ["north-wind"])
  }
}
