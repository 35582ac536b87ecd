#!/usr/bin/python3
"""Path MTU discovery through a relay (RFC 8656 sections 11.5 and 14): DONT-FRAGMENT and the routers' ICMP errors.

        server 9.9.9.9 --(MTU 1500)-- 9.9.9.1 router 8.8.8.1 --(MTU 1280)-- 8.8.8.8 peer      (and the same in IPv6)

The client is on the server's host. The addresses look global; none of them leaves the namespaces. Exit status: the
number of failed cases.
"""

import ctypes
import hashlib
import hmac
import os
import socket
import struct
import subprocess
import sys

import isolation
import processes
import server
from report import Failure, Report

COOKIE = 0x2112A442
REALM = "turnpike"
ECHO = """
import socket, sys
peer = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
peer.bind((sys.argv[1], 9999))
print("ready", flush=True)
while True:
    data, source = peer.recvfrom(65536)
    peer.sendto(len(data).to_bytes(2, "big"), source)
"""
# Family: the server's address, the peer's, type and code of the ICMP error.
FAMILIES = {"IPv4": ("9.9.9.9", "8.8.8.8", (3, 4)), "IPv6": ("2a09::9", "2a08::8", (2, 0))}


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report = Report("path_mtu")
    if arguments.server == "coturn" or not isolation.enter(required=True):
        report.skip("everything", "network namespaces are refused here, or the server is not Turnpike")
        return report.finish()
    build()
    options = server.Options(hosts=["9.9.9.9", "2a09::9"], users={"alice": "secret"},
                             prefix=["ip", "netns", "exec", "server"])
    peers = [subprocess.Popen(["ip", "netns", "exec", "peer", sys.executable, "-c", ECHO, peer],
                              stdout=subprocess.PIPE, text=True) for _, peer, _ in FAMILIES.values()]
    try:
        for peer in peers:
            peer.stdout.readline()
        with server.Server(arguments, options) as running:
            for name, (host, peer, news) in FAMILIES.items():
                for case, function in cases(host, peer, news):
                    report.run(f"{name}, {case}", lambda f=function: in_namespace("server", f))
            report.run("the server still runs", lambda: None if running.alive() else _raise(Failure(running.explain())))
    finally:
        for peer in peers:
            processes.stop(peer)
    return report.finish()


def cases(host, peer, news):
    """Returns names and bodies for one family; each runs in its own process, in the server's namespace.

    Over UDP DONT-FRAGMENT applies from IPv4 to IPv4 only. IPv6 routers never fragment, so there the first datagram that
    is too large is lost and reported even without DONT-FRAGMENT."""
    fits = ("a datagram that fits comes back", lambda: Client(host).expect_echo(peer, 1000, fragment=False))
    if ":" in host:
        return [fits, ("the router's answer reaches the client, and the next datagram is fragmented",
                       lambda: Client(host).expect_news_then_echo(peer, 1400, news, 1280))]
    return [fits,
            ("without DONT-FRAGMENT a large datagram is fragmented",
             lambda: Client(host).expect_echo(peer, 1400, fragment=True)),
            ("with DONT-FRAGMENT the router's answer reaches the client",
             lambda: Client(host).expect_news(peer, 1400, news, 1280)),
            ("the MTU of the server's own link is reported too",
             lambda: Client(host).expect_news(peer, 1600, news, 1500))]


class Client:
    """A minimal TURN client over UDP, which relies on a loopback without loss."""

    def __init__(self, host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(5)
        self.socket.connect((host, 3478))
        self.key = hashlib.md5(f"alice:{REALM}:secret".encode()).digest()
        transport = attribute(0x0019, b"\x11\0\0\0")
        if family == socket.AF_INET6:
            transport += attribute(0x0017, b"\x02\0\0\0")
        challenge = self.ask(0x0003, transport)
        self.nonce = challenge[0x0015]
        answer = self.ask(0x0003, transport, signed=True)
        if 0x0016 not in answer:
            raise Failure(f"no allocation: {answer}")

    def expect_echo(self, peer, size, fragment):
        """The peer answers with the length that it received."""
        self.permit(peer)
        self.send(peer, size, dont_fragment=not fragment)
        data = self.data_indication().get(0x0013)
        if data != size.to_bytes(2, "big"):
            raise Failure(f"the peer's answer is {data!r}")

    def expect_news(self, peer, size, news, mtu):
        """Expects a Data indication with ICMP for a datagram that was too large."""
        self.permit(peer)
        self.send(peer, size, dont_fragment=True)
        received = self.data_indication().get(0x8004)
        if received is None:
            raise Failure("the peer answered, or there is no ICMP attribute")
        _, bits, data = struct.unpack(">HHI", received)
        found = (bits >> 9, bits & 0x1FF)
        if found != news or data != mtu:
            raise Failure(f"type and code {found}, error data {data}")
        return {"mtu": data}

    def expect_news_then_echo(self, peer, size, news, mtu):
        """Expects the error for the first datagram, and the echo of the next: the kernel then knows the path MTU."""
        self.expect_news(peer, size, news, mtu)
        self.expect_echo(peer, size, fragment=True)

    def permit(self, peer):
        """Sends CreatePermission."""
        transaction = os.urandom(12)
        if 0x0009 in self.ask(0x0008, peer_address(peer, transaction), transaction, signed=True):
            raise Failure("no permission")

    def send(self, peer, size, dont_fragment):
        """Sends a Send indication."""
        transaction = os.urandom(12)
        body = peer_address(peer, transaction) + (attribute(0x001A, b"") if dont_fragment else b"")
        body += attribute(0x0013, bytes(size))
        self.socket.send(header(0x0016, len(body), transaction) + body)

    def data_indication(self):
        """Returns the attributes of the next Data indication."""
        while True:
            message = self.socket.recv(65536)
            if message[:2] == b"\x00\x17":
                return attributes(message)

    def ask(self, method, body, transaction=None, signed=False):
        """Sends a request and returns the attributes of its answer."""
        transaction = transaction or os.urandom(12)
        if signed:
            body += attribute(0x0006, b"alice") + attribute(0x0014, REALM.encode()) + attribute(0x0015, self.nonce)
            mac = hmac.new(self.key, header(method, len(body) + 24, transaction) + body, hashlib.sha1).digest()
            body += attribute(0x0008, mac)
        self.socket.send(header(method, len(body), transaction) + body)
        while True:
            message = self.socket.recv(65536)
            if message[8:20] == transaction:
                return attributes(message)


def peer_address(peer, transaction):
    """Returns XOR-PEER-ADDRESS."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    mask = struct.pack(">I", COOKIE) + transaction
    address = bytes(a ^ b for a, b in zip(socket.inet_pton(family, peer), mask))
    return attribute(0x0012, struct.pack(">BBH", 0, 2 if ":" in peer else 1, 9999 ^ COOKIE >> 16) + address)


def header(kind, length, transaction):
    """Returns a message header of 20 bytes."""
    return struct.pack(">HHI", kind, length, COOKIE) + transaction


def attribute(kind, value):
    """Returns type, length, value and padding of an attribute."""
    return struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4)


def attributes(message):
    """Returns the first attribute of each type."""
    found, offset = {}, 20
    while offset + 4 <= len(message):
        kind, length = struct.unpack_from(">HH", message, offset)
        found.setdefault(kind, message[offset + 4:offset + 4 + length])
        offset += 4 + (length + 3) // 4 * 4
    return found


def in_namespace(name, function):
    """Runs a body in another network namespace, in its own process; returns its result or raises its error."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with open(f"/run/netns/{name}", "rb") as namespace:
            # Python 3.12 has os.setns; Debian 12 has 3.11.
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000) != 0:
                os._exit(1)
        try:
            result = repr(function())
        except (Failure, OSError) as failure:
            result = f"!{type(failure).__name__}: {failure}"
        os.write(writer, result.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    if text.startswith("!") or not text:
        raise Failure(text[1:] or "the client ended without any output")


def build():
    """Builds the namespaces and their links."""
    def run(*command):
        subprocess.run(command, check=True, capture_output=True)

    for name in ("server", "router", "peer"):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    for number, (left, mtu) in enumerate((("server", 1500), ("peer", 1280))):
        near, far = (("9.9.9.9", "9.9.9.1"), ("8.8.8.8", "8.8.8.1"))[number]
        near6, far6 = (("2a09::9", "2a09::1"), ("2a08::8", "2a08::1"))[number]
        run("ip", "-n", left, "link", "add", "wan", "type", "veth", "peer", "name", left, "netns", "router")
        for namespace, device, address, address6 in ((left, "wan", near, near6), ("router", left, far, far6)):
            run("ip", "-n", namespace, "link", "set", device, "mtu", str(mtu))
            run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", device)
            run("ip", "-n", namespace, "address", "add", f"{address6}/64", "dev", device, "nodad")
            run("ip", "-n", namespace, "link", "set", device, "up")
        run("ip", "-n", left, "route", "add", "default", "via", far)
        run("ip", "-n", left, "-6", "route", "add", "default", "via", far6)
    for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        run("ip", "netns", "exec", "router", "sh", "-c", f"echo 1 > /proc/sys/net/{key}")


def _raise(failure):
    raise failure


if __name__ == "__main__":
    sys.exit(main())
