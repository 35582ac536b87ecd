extension CoturnTests {
  /// The options of coturn 4.17.1 that a configuration file may have.
  static let optionsOf417 = """
    listening-device listening-port tls-listening-port alt-listening-port alt-tls-listening-port tcp-proxy-port
    listening-ip relay-device relay-ip external-ip relay-threads min-port max-port sock-buf-size lt-cred-mech
    no-auth user userdb db psql-userdb sql-userdb mysql-userdb mongo-userdb redis-userdb redis-statsdb prometheus
    prometheus-port prometheus-address prometheus-path prometheus-username-labels prometheus-tls prometheus-cert
    prometheus-key use-auth-secret static-auth-secret no-auth-pings no-dynamic-ip-list no-dynamic-realms realm
    server-name oauth user-quota total-quota max-bps bps-capacity verbose Verbose daemon no-software-attribute
    software-attribute fingerprint check-origin-consistency no-udp no-tcp no-tls dtls no-dtls no-udp-relay
    no-tcp-relay stale-nonce max-allocate-lifetime channel-lifetime permission-lifetime stun-only no-stun cert
    raw-public-keys pkey pkey-pwd log-file no-stdout-log syslog simple-log log-min-level new-log-timestamp
    new-log-timestamp-format aux-server udp-self-balance alternate-server tls-alternate-server
    tcp-alternate-server udp-alternate-server rest-api-separator max-allocate-timeout drain-min-allocations
    no-multicast-peers allow-loopback-peers allowed-peer-ip denied-peer-ip cipher-list pidfile secure-stun CA-file
    dh-file proc-user proc-group mobility no-cli cli cli-ip cli-port cli-password web-admin web-admin-ip
    web-admin-port web-admin-listen-on-workers server-relay cli-max-output-sessions ec-curve-name dh566 dh1066
    tlsv1 tlsv1_1 no-tlsv1_2 secret-key-file keep-address-family allocation-default-address-family acme-redirect
    log-binding no-rfc5780 rfc5780 stun-backward-compatibility rfc5766-channel-numbers rfc3489-compatibility
    response-origin-only-with-rfc5780 respond-http-unsupported drop-invalid-packets drop-invalid-packets-log
    udp-recvmmsg udp-recvmmsg-log udp-sendmmsg-log udp-gso include-reason-string multiplex-peer
    multiplex-peer-port multiplex-peer-max-peers syslog-facility cpus unauthorized-ratelimit
    unauthorized-ratelimit-rps stateless-nonce stateless-nonce-secret
    """
}
