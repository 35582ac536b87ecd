"""The namespaces of public_address.py, with a 1:1 NAT."""

import contextlib
import os
import subprocess
import sys
import time

import processes
from public_address_fakes import PLACE
from report import Failure

PUBLIC, NEXT = "11.1.0.2", "11.1.0.3"
LOCAL = "10.1.0.2"
FAKES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "public_address_fakes.py")


class Network:
    """Three namespaces: the server is `inside`, the clients are `outside`."""

    NAMES = ("inside", "nat", "outside")

    def __init__(self):
        self.log = "/tmp/turnpike-public-address-fakes.txt"

    def build(self):
        """Makes the namespaces."""
        for name in self.NAMES:
            run(["ip", "netns", "add", name])
            run(["ip", "-n", name, "link", "set", "lo", "up"])
        for left, device, address, right_address in (("inside", "lan", f"{LOCAL}/24", "10.1.0.1/24"),
                                                      ("outside", "wan", "11.1.0.1/24", f"{PUBLIC}/24")):
            run(["ip", "-n", left, "link", "add", device, "type", "veth", "peer", "name", device, "netns", "nat"])
            for name, own in ((left, address), ("nat", right_address)):
                run(["ip", "-n", name, "address", "add", own, "dev", device])
                run(["ip", "-n", name, "link", "set", device, "up"])
        run(["ip", "-n", "nat", "address", "add", f"{NEXT}/24", "dev", "wan"])
        run(["ip", "-n", "nat", "address", "add", f"{PLACE[0]}/32", "dev", "lo"])
        for address in ("9.9.9.9", "9.9.9.10"):
            run(["ip", "-n", "outside", "address", "add", f"{address}/32", "dev", "lo"])
        run(["ip", "-n", "inside", "route", "add", "default", "via", "10.1.0.1"])
        run(["ip", "-n", "nat", "route", "add", "default", "via", "11.1.0.1"])
        run(inside("nat") + ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
        self.map_to(PUBLIC)

    def map_to(self, address):
        """Translates `address` 1:1 to the server, both ways."""
        text = f"""flush ruleset
table ip nat {{
  chain in {{ type nat hook prerouting priority dstnat; iifname "wan" ip daddr {address} dnat to {LOCAL}; }}
  chain out {{ type nat hook postrouting priority srcnat; oifname "wan" ip saddr {LOCAL} snat to {address}; }}
}}"""
        subprocess.run(inside("nat") + ["nft", "-f", "-"], input=text, text=True, check=True)

    def remove(self):
        """Removes the namespaces and with them every interface."""
        for name in self.NAMES:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def await_socket(self, name, options, address):
        """Waits until a program in a namespace has a socket."""
        deadline = time.monotonic() + 10
        while address not in run(inside(name) + ["ss", "-H", options]):
            if time.monotonic() > deadline:
                raise Failure(f"nothing listens on {address}: {processes.tail(self.log)}")
            time.sleep(0.05)

    @contextlib.contextmanager
    def fake(self, what, mode, address):
        """Runs a metadata service or a STUN server."""
        process = processes.start(
            inside("nat" if what == "metadata" else "outside") + [sys.executable, FAKES, what, mode, address],
            self.log, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        place = ("nat", "-ltn", "169.254.169.254:80") if what == "metadata" else ("outside", "-lun", "9.9.9.10:3480")
        try:
            self.await_socket(*place)
            yield
        finally:
            processes.stop(process, 0)


def inside(name):
    """The prefix of a command in a namespace."""
    return ["ip", "netns", "exec", name]


def run(command):
    """Runs a command that must succeed; returns its output."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if result.returncode:
        raise Failure(f"{' '.join(command)}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout
