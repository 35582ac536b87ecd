"""The measurements: the arguments of turnload, and the largest allowed ratio of our CPU time to coturn's."""


class Scenario:
    def __init__(self, key, title, arguments, bar=None, quick=False, transport="udp", memory=False, percentile=None):
        self.key, self.title, self.arguments = key, title, arguments.split()
        self.bar, self.quick, self.transport = bar, quick, transport
        # Measured in bytes for each held allocation instead of CPU time.
        self.memory = memory
        # The limit for the ratio of the 99th percentiles of latency.
        self.percentile = percentile


def relay(key, title, arguments, **rest):
    return Scenario(key, title, "relay " + arguments, **rest)


SCENARIOS = [
    Scenario("binding", "Binding", "binding --allocations 100", bar=0.90, quick=True),
    Scenario("allocate", "401 + Allocate + Refresh 0, UDP", "allocate --allocations 16", bar=0.40, quick=True),
    Scenario("allocate-tls", "handshake + 401 + Allocate + Refresh 0, TLS", "allocate --allocations 8", transport="tls"),
    relay("up-1", "client to peer, 172 B, 1 allocation", "--allocations 1"),
    relay("up-100", "client to peer, 172 B, 100", "--allocations 100", bar=0.95, quick=True),
    relay("up-1000", "client to peer, 172 B, 1,000", "--allocations 1000", bar=0.80, quick=True),
    relay("up-4000", "client to peer, 172 B, 4,000", "--allocations 4000"),
    relay("up-1200", "client to peer, 1,200 B, 100", "--allocations 100 --size 1200"),
    relay("down-1", "peer to client, 172 B, 1 allocation", "--allocations 1 --direction to-client"),
    relay("down-100", "peer to client, 172 B, 100", "--allocations 100 --direction to-client", bar=0.70, quick=True),
    relay("down-1000", "peer to client, 172 B, 1,000", "--allocations 1000 --direction to-client"),
    relay("down-1200", "peer to client, 1,200 B, 100", "--allocations 100 --direction to-client --size 1200"),
    relay("echo-100", "echo, 172 B, 100", "--allocations 100 --direction echo"),
    relay("echo-1000", "echo, 172 B, 1,000", "--allocations 1000 --direction echo"),
    relay("send", "Send indications, 172 B, 100", "--allocations 100 --indications", bar=0.80, quick=True),
    relay("data", "Data indications, 172 B, 100", "--allocations 100 --indications --direction to-client", bar=0.80,
          quick=True),
    # GSO and GRO at our ends, as with a network card that segments and merges.
    relay("burst-up", "bursts of 8 x 1,200 B to peers, 100, GSO/GRO", "--allocations 100 --size 1200 --burst 8 --gso --gro",
          bar=0.50, quick=True),
    relay("burst-down", "bursts of 8 x 1,200 B to clients, 100, GSO/GRO",
          "--allocations 100 --size 1200 --burst 8 --gso --gro --direction to-client", bar=0.50, quick=True),
    relay("single-burst-up", "the same to peers, without GSO and GRO", "--allocations 100 --size 1200 --burst 8"),
    relay("single-burst-down", "the same to clients",
          "--allocations 100 --size 1200 --burst 8 --direction to-client"),
    relay("gso-up", "one flow to its peer, GSO/GRO at both ends", "--allocations 1 --burst 32 --gso --gro --window 512",
          bar=0.35, quick=True),
    relay("gso-down", "one flow to its client, GSO/GRO at both ends",
          "--allocations 1 --burst 32 --gso --gro --window 512 --direction to-client", bar=0.35),
    Scenario("relay-to-relay", "relay to relay, 172 B, 100", "relay-to-relay --allocations 100", bar=0.55, quick=True),
    relay("tcp-up", "TCP leg to peers, 172 B, 100", "--allocations 100", bar=0.95, quick=True, transport="tcp"),
    relay("tcp-down", "TCP leg to clients, 172 B, 100", "--allocations 100 --direction to-client", transport="tcp"),
    relay("tls-up", "TLS leg to peers, 172 B, 100", "--allocations 100", bar=0.60, quick=True, transport="tls"),
    relay("tls-down", "TLS leg to clients, 172 B, 100", "--allocations 100 --direction to-client", transport="tls"),
    relay("paced", "paced 20,000 packets/s, 172 B, 100", "--allocations 100 --rate 20000", bar=0.80, quick=True,
          percentile=1.0),
    Scenario("memory-2000", "memory of a held allocation, 2,000", "hold --allocations 2000", memory=True, quick=True),
    Scenario("memory-10000", "memory of a held allocation, 10,000", "hold --allocations 10000", bar=0.20, memory=True),
]
