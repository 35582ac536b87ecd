"""Two or three clients behind symmetric NATs, and a server, each in its own network namespace.

                          internet (forwards; no route to any LAN)
               9.9.9.1  /      | 11.1.0.1      \\ 12.1.0.1
                       /       |                \\
        server 9.9.9.9    nat-a 11.1.0.2      nat-b 12.1.0.2      (masquerade to random ports)
       (no default route)      | LAN .1          | LAN .1
                           client-a LAN .2    client-b LAN .2

The third client, c, is like b, with 13.1.0 in place of 12.1.0. The addresses look global, because a relay refuses
private peers; none of them leaves the namespaces. The NAT routers answer packets without a mapping with ICMP port
unreachable, and the server has no route to the clients' LANs.
"""

import contextlib
import json
import os
import subprocess
import sys

SERVER = "9.9.9.9"
PUBLIC = {"a": "11.1.0", "b": "12.1.0", "c": "13.1.0"}

MASQUERADE = """
table ip nat {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "wan" masquerade fully-random
  }
}
"""

SILENCE = """
table ip silence {
  chain own {
    type filter hook output priority filter;
    icmp type destination-unreachable drop
  }
  chain others {
    type filter hook forward priority filter;
    icmp type destination-unreachable drop
  }
}
"""


# Drops every packet to and from a NAT, without an ICMP error.
SILENT_CUT = """
table ip cut {{
  chain forward {{
    type filter hook forward priority filter;
    ip saddr {0} drop
    ip daddr {0} drop
  }}
}}
"""


class Network:
    """The namespaces; a context manager. `lans` are the first three numbers of each client's LAN: two or three.

    Without `icmp` no host sends ICMP errors, and without `no_route` the server has a default route: simpler
    networks, for comparison.
    """

    def __init__(self, lans, icmp=True, no_route=True):
        self.sides = list(zip("abc", PUBLIC.values(), lans))
        self.names = ["internet", "server"] + [f"{kind}-{side}" for side, _, _ in self.sides
                                               for kind in ("nat", "client")]
        self.icmp = icmp
        self.no_route = no_route

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Removes the namespaces and with them every interface."""
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def inside(self, name):
        """Returns the command prefix that runs a command in a namespace."""
        return ["ip", "netns", "exec", name]

    def counter(self, name, protocol, key):
        """Returns a counter of a namespace's /proc/net/snmp, such as ("server", "Ip", "OutNoRoutes")."""
        text = _run(self.inside(name) + ["cat", "/proc/net/snmp"])
        keys, values = (line.split()[1:] for line in text.splitlines() if line.startswith(protocol + ":"))
        return int(dict(zip(keys, values))[key])

    @contextlib.contextmanager
    def cut(self, side, is_silent):
        """A NAT has no network while the context is open.

        Silent: packets are lost, and the NAT keeps its mappings. Else its interface is down: senders get ICMP errors,
        and the mappings are gone.
        """
        nat, public = f"nat-{side}", PUBLIC[side]
        if is_silent:
            _run(self.inside("internet") + ["nft", "-f", "-"], SILENT_CUT.format(f"{public}.2"))
        else:
            _run(["ip", "-n", nat, "link", "set", "wan", "down"])
        try:
            yield
        finally:
            if is_silent:
                _run(self.inside("internet") + ["nft", "delete", "table", "ip", "cut"])
            else:
                _run(["ip", "-n", nat, "link", "set", "wan", "up"])
                _run(["ip", "-n", nat, "route", "replace", "default", "via", f"{public}.1"])

    def _build(self):
        for name in self.names:
            _run(["ip", "netns", "add", name])
            _run(["ip", "-n", name, "link", "set", "lo", "up"])
        _link("internet", "server", "9.9.9.1", "server", "wan", SERVER)
        for side, public, lan in self.sides:
            nat, client = f"nat-{side}", f"client-{side}"
            _link("internet", nat, f"{public}.1", nat, "wan", f"{public}.2")
            _link(nat, "lan", f"{lan}.1", client, "lan", f"{lan}.2")
            _run(["ip", "-n", nat, "route", "add", "default", "via", f"{public}.1"])
            _run(["ip", "-n", client, "route", "add", "default", "via", f"{lan}.1"])
            _run(["ip", "-n", "server", "route", "add", f"{public}.0/24", "via", "9.9.9.1"])
            _run(self.inside(nat) + ["nft", "-f", "-"], MASQUERADE)
        for name in ("internet", *(f"nat-{side}" for side, _, _ in self.sides)):
            for setting in ("ip_forward=1", "icmp_ratelimit=0"):
                key, _, value = setting.partition("=")
                _run(self.inside(name) + ["sh", "-c", f"echo {value} > /proc/sys/net/ipv4/{key}"])
            if not self.icmp:
                _run(self.inside(name) + ["nft", "-f", "-"], SILENCE)
        if not self.no_route:
            _run(["ip", "-n", "server", "route", "add", "default", "via", "9.9.9.1"])


class Watch:
    """Counts packets between the internet and the server while the context is open."""

    def __init__(self, network):
        command = network.inside("internet") + [sys.executable, os.path.join(os.path.dirname(
            os.path.abspath(__file__)), "packet_watch.py"), "server", SERVER]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process.stdout.readline()  # watching has begun

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def finish(self):
        """Ends the watch; returns {"ttl": {TTL: packets sent by the server}, "unreachable": {ICMP code: packets}}."""
        output, _ = self._process.communicate("", timeout=10)
        return json.loads(output)


def _link(left, left_name, left_address, right, right_name, right_address):
    _run(["ip", "-n", left, "link", "add", left_name, "type", "veth", "peer", "name", right_name, "netns", right])
    for name, device, address in ((left, left_name, left_address), (right, right_name, right_address)):
        _run(["ip", "-n", name, "address", "add", f"{address}/24", "dev", device])
        _run(["ip", "-n", name, "link", "set", device, "up"])


def _run(command, text=None):
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {result.stderr.strip()}")
    return result.stdout
