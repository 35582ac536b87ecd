#!/usr/bin/python3
"""stunclient's NAT behaviour and relay checks against coturn, through NATs and firewalls made with nftables in
network namespaces; also relays that work in one direction only.

             client 10.1.0.2 -- 10.1.0.1 nat 11.1.0.2 (and .3) -- 11.1.0.1 server 9.9.9.9 and 9.9.9.10

The addresses look global; none of them leaves the namespaces. Exit status: the number of failed cases.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import isolation
import processes
import server
from report import Failure, Report

SERVER, OTHER = "9.9.9.9", "9.9.9.10"
PORT, OTHER_PORT = 3478, 3479
CLIENT, WAN, SECOND_WAN = "10.1.0.2", "11.1.0.2", "11.1.0.3"

# Linux keeps the port if it can, so that every mapping of a socket is the same (endpoint-independent), or chooses a new
# port for each destination (address-and-port-dependent). A different outside address for each destination makes the
# mapping address-dependent. Incoming packets pass only from a mapping's destination (address-and-port-dependent
# filtering), unless a rule forwards more to the client.
KEEP = f'oifname "wan" snat to {WAN}'
RANDOM = f'oifname "wan" snat to {WAN} fully-random'
BY_ADDRESS = f"""oifname "wan" ip daddr {SERVER} snat to {WAN}
    oifname "wan" ip daddr {OTHER} snat to {SECOND_WAN}"""
OPEN = f'iifname "wan" ip daddr {WAN} meta l4proto udp dnat to {CLIENT}'
OPEN_TO_KNOWN = f'iifname "wan" ip daddr {WAN} ip saddr . udp dport @known dnat to {CLIENT}'
HAIRPIN_IN = f'iifname "lan" ip daddr {WAN} meta l4proto udp dnat to {CLIENT}'
HAIRPIN_OUT = f'iifname "lan" oifname "lan" snat to {WAN}'

CASES = [
    # name, outgoing rules, incoming rules, mapping, filtering, hairpinning
    ("EIM, EIF", [KEEP], [OPEN], "endpoint-independent", "endpoint-independent", "none"),
    ("EIM, ADF", [KEEP], [OPEN_TO_KNOWN], "endpoint-independent", "address-dependent", "none"),
    ("EIM, APDF", [KEEP], [], "endpoint-independent", "address-and-port-dependent", "none"),
    ("ADM, APDF", [BY_ADDRESS], [], "address-dependent", "address-and-port-dependent", "none"),
    ("APDM, APDF", [RANDOM], [], "address-and-port-dependent", "address-and-port-dependent", "none"),
    ("EIM, EIF, hairpinning", [KEEP, HAIRPIN_OUT], [OPEN, HAIRPIN_IN], "endpoint-independent",
     "endpoint-independent", "external-source"),
]

MAPPINGS = {"endpoint-independent": "Endpoint Independent Mapping", "address-dependent": "Address Dependent Mapping",
            "address-and-port-dependent": "Address and Port Dependent Mapping"}
FILTERINGS = {key: text.replace("Mapping", "Filtering") for key, text in MAPPINGS.items()}

# coturn's answer has XOR-MAPPED-ADDRESS and then MAPPED-ADDRESS; this gateway changes the address in the second one,
# like the gateways because of which XOR-MAPPED-ADDRESS exists.
GATEWAY = f"""table ip gateway {{
  chain in {{
    type filter hook prerouting priority raw;
    iifname "wan" udp sport {{ {PORT}, {OTHER_PORT} }} @th,64,16 0x0101 @th,320,16 0x0001 udp checksum set 0 \\
      @th,384,32 set 0x0a010002
  }}
}}
"""


def main():
    """Runs the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stunclient", default=os.environ.get("STUNCLIENT_PROGRAM", ""), help="path of the program")
    arguments = parser.parse_args()
    report = Report("nat_verdicts")
    program = server.built("stunclient", arguments.stunclient)
    for missing, what in ((not program, "stunclient is not built"), (not shutil.which("turnserver"),
                          "coturn is not installed"), (not shutil.which("nft"), "nftables is not installed")):
        if missing:
            report.skip("everything", f"{what}; NO NAT VERDICT WAS TESTED")
            return report.finish()
    if not isolation.enter(required=True):
        report.skip("everything", "network namespaces are refused here; NO NAT VERDICT WAS TESTED")
        return report.finish()
    with contextlib.ExitStack() as stack:
        scene = stack.enter_context(Scene(program))
        for name, outgoing, incoming, mapping, filtering, hairpinning in CASES:
            report.run(name, lambda: scene.verdict(outgoing, incoming, mapping, filtering, hairpinning))
        report.run("no NAT, a firewall", scene.firewall)
        report.run("an application level gateway", scene.gateway)
        report.run("a server without another address can't tell", scene.one_address)
        report.run("the other address is silent", scene.silent_alternate)
        report.run("bindings are forgotten after 4 s", scene.lifetime)
        report.run("mapping over TCP", scene.mapping_over_tcp)
        report.run("stuntman's lines", scene.stuntman)
        report.run("a relay that works one way only", scene.one_way)
        report.run("a relay whose data is swallowed", scene.swallowed)
        report.run("a server behind a dropping firewall", scene.dropped)
        report.run("a server that answers from its other address", scene.other_source)
        report.run("a relay that gives its inside address", scene.inside_relay)
    return report.finish()


class Scene:
    """The namespaces, with coturn in the server's."""

    NAMES = ("client", "nat", "server")

    def __init__(self, program):
        self.program = program
        self.directory = tempfile.mkdtemp(prefix="turnpike-interop-nat-")
        self.process = None

    def __enter__(self):
        try:
            self._build()
            self._serve([SERVER, OTHER])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        processes.stop(self.process, 0)
        for name in self.NAMES:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _build(self):
        for name in self.NAMES:
            _run(["ip", "netns", "add", name])
            _run(["ip", "-n", name, "link", "set", "lo", "up"])
        for left, left_device, left_address, right, right_device, right_address in (
                ("client", "lan", f"{CLIENT}/24", "nat", "lan", "10.1.0.1/24"),
                ("server", "wan", "11.1.0.1/24", "nat", "wan", f"{WAN}/24")):
            _run(["ip", "-n", left, "link", "add", left_device, "type", "veth", "peer", "name", right_device, "netns",
                  right])
            for name, device, address in ((left, left_device, left_address), (right, right_device, right_address)):
                _run(["ip", "-n", name, "address", "add", address, "dev", device])
                _run(["ip", "-n", name, "link", "set", device, "up"])
        _run(["ip", "-n", "nat", "address", "add", f"{SECOND_WAN}/24", "dev", "wan"])
        for address in (SERVER, OTHER):
            _run(["ip", "-n", "server", "address", "add", f"{address}/32", "dev", "lo"])
        _run(["ip", "-n", "client", "route", "add", "default", "via", "10.1.0.1"])
        _run(["ip", "-n", "nat", "route", "add", "default", "via", "11.1.0.1"])
        _run(["ip", "-n", "server", "route", "add", "10.1.0.0/24", "via", WAN])
        _inside("nat", ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])

    def _serve(self, addresses, relay=None):
        """Starts coturn on these addresses, with relays on them or on another one; stops the previous coturn."""
        processes.stop(self.process, 0)
        log = os.path.join(self.directory, "turn.log")
        with contextlib.suppress(FileNotFoundError):
            os.remove(log)
        command = ["ip", "netns", "exec", "server", "turnserver", "-n", "-a", "-u", "alice:secret", "-r", "example.org",
                   "--no-cli", "--no-tls", "--no-dtls", "-l", log, "--simple-log", "-v", "--log-binding",
                   "--pidfile", os.path.join(self.directory, "pid"), "-b", os.path.join(self.directory, "db"),
                   "--listening-port", str(PORT), "--alt-listening-port", str(OTHER_PORT)]
        for address in addresses:
            command += ["-L", address, "-E", relay or address]
        self.process = processes.start(command, os.path.join(self.directory, "errors.txt"),
                                       stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        self.rules("", "")
        while time.monotonic() < deadline:
            status, _ = self.ask(["--json", "--timeout", "0.3", f"{SERVER}:{PORT}"], within="server")
            if status == 0:
                return
            time.sleep(0.05)
        raise Failure(f"coturn did not get ready: {processes.tail(log)}")

    def rules(self, outgoing, incoming, more=""):
        """Sets the NAT's nftables rules of the postrouting and prerouting hooks, and clears its bindings."""
        text = f"""flush ruleset
table ip nat {{
  set known {{ type ipv4_addr . inet_service; flags dynamic; size 1024; }}
  chain remember {{
    type filter hook forward priority filter;
    iifname "lan" oifname "wan" update @known {{ ip daddr . udp sport }}
  }}
  chain out {{
    type nat hook postrouting priority srcnat;
    {outgoing}
  }}
  chain in {{
    type nat hook prerouting priority dstnat;
    {incoming}
  }}
}}
{more}"""
        _inside("nat", ["nft", "-f", "-"], text)

    def ask(self, arguments, within="client", environment=None):
        """Runs stunclient; returns its exit status and its output."""
        result = subprocess.run(
            ["ip", "netns", "exec", within, self.program] + arguments, capture_output=True, text=True, check=False,
            timeout=90, env={**os.environ, **(environment or {})})
        return result.returncode, result.stdout + result.stderr

    def report(self, *arguments):
        """Returns the JSON document of `stunclient nat`."""
        status, output = self.ask(["nat", "--json", *arguments, f"{SERVER}:{PORT}"])
        if status != 0:
            raise Failure(f"exit status {status}: {output}")
        return json.loads(output)

    # The cases.

    def verdict(self, outgoing, incoming, mapping, filtering, hairpinning):
        """Checks the three verdicts on a NAT."""
        self.rules("\n    ".join(outgoing), "\n    ".join(incoming))
        found = self.report()
        seen = {key: found[key] for key in ("mapping", "filtering", "hairpinning", "nat", "mapped", "address_pooling")}
        _expect(seen, {"mapping": mapping, "filtering": filtering, "hairpinning": hairpinning, "nat": True})
        return seen

    def firewall(self):
        """Without a NAT the mapping is direct, and the filtering of a stateful firewall is found."""
        self.rules("", "", """table ip firewall {
  chain forward {
    type filter hook forward priority filter;
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }
}
""")
        found = self.report()
        _expect(found, {"mapping": "direct", "filtering": "address-and-port-dependent", "nat": False,
                        "hairpinning": None, "alg": False, "port_preserved": True})
        return {"unknown": found["unknown"]}

    def gateway(self):
        """Finds a gateway that changes MAPPED-ADDRESS."""
        self.rules(KEEP, "", GATEWAY)
        found = self.report()
        _expect(found, {"alg": True, "mapping": "endpoint-independent"})
        self.rules(KEEP, "")
        _expect(self.report(), {"alg": False})
        return {}

    def one_address(self):
        """With a server that has only one address, behaviours are unknown."""
        self._serve([SERVER])
        try:
            self.rules(KEEP, "")
            found = self.report()
            _expect(found, {"mapping": None, "filtering": None, "nat": True})
            for key in ("mapping", "filtering"):
                if "other address" not in found["unknown"].get(key, ""):
                    raise Failure(f"no reason for {key}: {found['unknown']}")
            _, text = self.ask(["--mode", "full", SERVER, str(PORT)])
            if "Behavior test: fail\nFiltering test: fail\n" not in text:
                raise Failure(f"stuntman's lines: {text}")
            return found["unknown"]
        finally:
            self._serve([SERVER, OTHER])

    def silent_alternate(self):
        """If the other address is announced and does not answer, mapping and filtering are unknown."""
        self.rules(KEEP, "", f"""table ip firewall {{
  chain forward {{
    type filter hook forward priority filter;
    ip daddr {OTHER} drop
  }}
}}
""")
        found = self.report()
        _expect(found, {"mapping": None, "filtering": "address-and-port-dependent"})
        return found["unknown"]

    def lifetime(self):
        """Measures the lifetime of the NAT's bindings."""
        self.rules(KEEP, "")
        for name in ("udp_timeout", "udp_timeout_stream"):
            _inside("nat", ["sh", "-c", f"echo 4 > /proc/sys/net/netfilter/nf_conntrack_{name}"])
        found = self.report("--lifetime", "9")["binding_lifetime_s"]
        for name, seconds in (("udp_timeout", 30), ("udp_timeout_stream", 120)):
            _inside("nat", ["sh", "-c", f"echo {seconds} > /proc/sys/net/netfilter/nf_conntrack_{name}"])
        # Conntrack removes ended entries periodically, so the end may come later.
        if not (found and 2 <= found["at_least"] <= 6 and found["less_than"] and found["less_than"] <= 9):
            raise Failure(f"binding lifetime {found}")
        return found

    def mapping_over_tcp(self):
        """Tests the mapping over TCP, with one local port; filtering is unknown there."""
        verdicts = {}
        for rule, expected in ((KEEP, "endpoint-independent"), (BY_ADDRESS, "address-dependent"),
                               (RANDOM, "address-and-port-dependent")):
            self.rules(rule, "")
            found = self.report("--tcp")
            verdicts[expected] = {key: found[key] for key in ("mapping", "filtering", "transport")}
            _expect(verdicts[expected], {"mapping": expected, "filtering": None, "transport": "tcp"})
        return verdicts

    def stuntman(self):
        """Checks stuntman's lines in each mode."""
        self.rules(KEEP, "")
        head = ["Binding test: success", "Local address: ", "Mapped address: "]
        behavior = ["Behavior test: success", "Nat behavior: " + MAPPINGS["endpoint-independent"]]
        filtering = ["Filtering test: success", "Nat filtering: " + FILTERINGS["address-and-port-dependent"]]
        for mode, expected in (("basic", head), ("behavior", head + behavior), ("filtering", head + filtering),
                               ("full", head + behavior + filtering)):
            status, output = self.ask(["--mode", mode, "--localport", "5555", "--family", "4", SERVER, str(PORT)])
            lines = output.splitlines()
            if status != 0 or len(lines) != len(expected) or not all(
                    line.startswith(start) for line, start in zip(lines, expected)):
                raise Failure(f"--mode {mode}: {output}")
            if lines[1] != f"Local address: {CLIENT}:5555" or lines[2] != f"Mapped address: {WAN}:5555":
                raise Failure(f"--mode {mode}: {output}")
        return {}

    CREDENTIALS = {"STUNCLIENT_USERNAME": "alice", "STUNCLIENT_PASSWORD": "secret"}

    def relay(self, expected, *arguments):
        """Runs a relay check that must fail for this reason; returns its document."""
        status, output = self.ask(["--json", "--timeout", "2", *arguments, f"turn:{SERVER}:{PORT}"],
                                  environment=self.CREDENTIALS)
        found = json.loads(output)
        reason = (found["failure"] or {}).get("reason")
        if status != (2 if expected else 0) or reason != expected:
            raise Failure(f"exit status {status}, {found['failure']}")
        return found

    def one_way(self):
        """No packet reaches the relay ports from outside, and relays do not reach each other."""
        self.rules("", "")
        self.relay(None)
        with self.filter("udp dport 49152-65535 drop"):
            found = self.relay("echo-lost")
        if "but nothing came back" not in found["failure"]["message"]:
            raise Failure(found["failure"]["message"])
        return {"message": found["failure"]["message"], "notes": found["notes"]}

    def swallowed(self):
        """No packet leaves the relay ports."""
        with self.filter("udp sport 49152-65535 drop", "output"):
            found = self.relay("echo-lost")
        if "no data reached the peer" not in found["failure"]["message"]:
            raise Failure(found["failure"]["message"])
        return {"message": found["failure"]["message"]}

    def dropped(self):
        """A firewall drops packets to the server's port silently."""
        with self.filter(f"udp dport {PORT} drop"):
            self.relay("timeout")
            status, output = self.ask(["--check", "--timeout", "1", "--tcp", f"{SERVER}:{PORT}"])
            if status != 0:
                raise Failure(output)
        return {}

    def other_source(self):
        """Answers leave from the server's other address. A NAT without filtering lets them in for the client."""
        self.rules(KEEP, OPEN)
        with self.filter(f"udp sport {PORT} ip saddr set {OTHER}", "output"):
            found = self.relay("other-source")
            if f"an answer came from {OTHER}:{PORT}" not in found["failure"]["message"]:
                raise Failure(found["failure"]["message"])
            for command in ("binding", "nat", "ping"):
                more = ["--count", "2", "--interval", "0.1"] if command == "ping" else []
                status, output = self.ask([command, "--json", "--timeout", "1", *more, f"{SERVER}:{PORT}"])
                reason = (json.loads(output)["failure"] or {}).get("reason")
                if status != 2 or reason != "other-source":
                    raise Failure(f"{command}: exit status {status}, {reason}")
        # Behind a filtering NAT the answers do not arrive, and the result is a timeout.
        self.rules(KEEP, "")
        with self.filter(f"udp sport {PORT} ip saddr set {OTHER}", "output"):
            self.relay("timeout")
        return {"message": found["failure"]["message"]}

    def inside_relay(self):
        """A server at a global address relays from a private one, as behind an unconfigured 1:1 NAT: although its
        relays reach each other, this is a warning."""
        inside = "10.9.9.9"
        _run(["ip", "-n", "server", "address", "add", f"{inside}/32", "dev", "lo"])
        try:
            self._serve([SERVER], inside)
            self.rules(KEEP, "")
            status, output = self.ask(["--json", "--timeout", "2", f"turn:{SERVER}:{PORT}"],
                                      environment=self.CREDENTIALS)
            found = json.loads(output)
            if status != 1 or found["warning_reasons"] != ["relayed-address"]:
                raise Failure(f"exit status {status}, {found['failure']}, {found['warnings']}")
            status, line = self.ask(["--check", "--timeout", "2", f"turn:{SERVER}:{PORT}"],
                                    environment=self.CREDENTIALS)
            if status != 1 or not line.startswith("WARNING: relay ") or "[relayed-address]" not in line:
                raise Failure(line)
            return {"warnings": found["warnings"]}
        finally:
            _run(["ip", "-n", "server", "address", "del", f"{inside}/32", "dev", "lo"])
            self._serve([SERVER, OTHER])

    @contextlib.contextmanager
    def filter(self, rule, hook="input"):
        """Adds a rule to the server's firewall."""
        _inside("server", ["nft", "-f", "-"], f"""table ip firewall {{
  chain only {{
    type filter hook {hook} priority filter;
    {rule}
  }}
}}
""")
        try:
            yield
        finally:
            _inside("server", ["nft", "flush", "ruleset"])


def _expect(found, expected):
    wrong = {key: found.get(key) for key, value in expected.items() if found.get(key) != value}
    if wrong:
        raise Failure(f"{wrong} and not {expected}; {found}")


def _inside(name, command, text=None):
    return _run(["ip", "netns", "exec", name] + command, text)


def _run(command, text=None):
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed: {result.stderr.strip()}")
    return result.stdout


if __name__ == "__main__":
    sys.exit(main())
