#!/usr/bin/python3
"""The fields of IP headers (RFC 8656 sections 13 to 16): DSCP and ECN are relayed in both directions and between
families, TTL and hop limit are not, and answers copy no field of the request.

The suite has a small TURN client of its own that sets and reads these fields. Exit status: the number of failed cases.
"""

import os
import socket
import struct
import sys

import isolation
import server
from report import Failure, Report

COOKIE = 0x2112A442
IP_RECVTTL, IP_RECVTOS = 12, 13
IPV6_RECVHOPLIMIT, IPV6_HOPLIMIT, IPV6_RECVTCLASS = 51, 52, 66
HOSTS = {4: "127.0.0.1", 6: "::1"}
MARKS = {"EF": 0xB8, "EF and ECT(0)": 0xBA, "ECT(1)": 0x01, "CE": 0x03, "AF41": 0x88}


def main():
    """Runs the suite with each engine that the server has here."""
    arguments = server.arguments(__doc__)
    report = Report("ip_fields")
    isolation.enter(required=False)
    if arguments.server == "coturn":
        report.skip("everything", "this suite does not configure coturn")
        return report.finish()
    for engine in ("epoll", "io-uring"):
        options = server.Options(hosts=list(HOSTS.values()), allow_peers=["127.0.0.0/8", "::1/128"], settings={
            "auth.anonymous": "true", "auth.store": "", "engine": engine})
        try:
            running = server.Server(arguments, options)
        except Failure as failure:
            report.skip(engine, str(failure)[-200:])
            continue
        with running:
            report.run(f"{engine}, a Binding's answer", lambda: binding(options.port))
            for client in (4, 6):
                for peer in (4, 6):
                    report.run(f"{engine}, IPv{client} client, IPv{peer} peer",
                               lambda c=client, p=peer: relay(options.port, c, p))
            report.run(f"{engine}, marks that begin late", lambda: late(options.port))
            report.run(f"{engine}, the server still runs", lambda: None if running.alive() else _raise(Failure("it ended")))
    return report.finish()


class Socket:
    """A UDP socket that sets and reads TTL and traffic class."""

    def __init__(self, family):
        self.family = family
        self.socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        self.socket.bind((HOSTS[family], 0))
        self.socket.settimeout(3)
        if family == 4:
            self.socket.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            self.socket.setsockopt(socket.IPPROTO_IP, IP_RECVTOS, 1)
        else:
            self.socket.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
            self.socket.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVTCLASS, 1)

    def mark(self, traffic_class, ttl):
        """Sets the fields of the next datagrams."""
        if self.family == 4:
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, traffic_class)
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        else:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, traffic_class)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)

    def send(self, data, address):
        self.socket.sendto(data, address)

    def receive(self):
        """Returns data, traffic class, TTL and sender of the next datagram."""
        data, ancillary, _, sender = self.socket.recvmsg(2048, 256)
        traffic_class = ttl = None
        for level, kind, value in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, socket.IP_TOS):
                traffic_class = value[0]
            elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_TCLASS):
                traffic_class = struct.unpack("i", value)[0]
            elif kind in (socket.IP_TTL, IPV6_HOPLIMIT):
                ttl = struct.unpack("i", value)[0]
        return data, traffic_class, ttl, sender[:2]

    def address(self):
        return self.socket.getsockname()[:2]


class Client(Socket):
    """A client with an allocation and a channel to a peer."""

    def __init__(self, port, family, peer_family, peer):
        super().__init__(family)
        self.server = (HOSTS[family], port)
        answer = self.ask(0x003, attribute(0x0019, b"\x11\0\0\0") + attribute(0x0017, bytes([1 if peer_family == 4 else 2, 0, 0, 0])))
        self.relayed = address_of(answer, 0x0016)
        self.ask(0x009, attribute(0x000C, b"\x40\0\0\0") + attribute(0x0012, xored(peer, answer[8:20])), answer[8:20])

    def ask(self, method, attributes, transaction=None):
        transaction = transaction or os.urandom(12)
        self.send(struct.pack(">HHI", method, len(attributes), COOKIE) + transaction + attributes, self.server)
        data, traffic_class, ttl, _ = self.receive()
        if data[:2] != struct.pack(">H", method | 0x100):
            raise Failure(f"request {method:#x} was answered {data[:40].hex()}")
        if traffic_class != 0 or ttl != 64:
            raise Failure(f"an answer has traffic class {traffic_class} and TTL {ttl}")
        return data


def binding(port):
    """An answer has the server's own fields, independent of the request's."""
    for family in (4, 6):
        client = Socket(family)
        client.mark(0xB8, 5)
        client.send(struct.pack(">HHI", 1, 0, COOKIE) + os.urandom(12), (HOSTS[family], port))
        _, traffic_class, ttl, _ = client.receive()
        if traffic_class != 0 or ttl != 64:
            raise Failure(f"IPv{family}: traffic class {traffic_class}, TTL {ttl}")
    return {}


def relay(port, client_family, peer_family):
    """Marks are relayed both ways; TTLs are not."""
    peer = Socket(peer_family)
    client = Client(port, client_family, peer_family, peer.address())
    for name, mark in [("nothing", 0), *MARKS.items(), ("nothing", 0)]:
        client.mark(mark, 3)
        peer.mark(mark, 7)
        for number in range(3):
            payload = bytes([number]) * 20
            client.send(b"\x40\0\0\x14" + payload, client.server)
            expect(peer.receive(), payload, mark, name)
            peer.send(payload, client.relayed)
            expect(client.receive(), b"\x40\0\0\x14" + payload, mark, name)
    return {"marks": len(MARKS)}


def late(port):
    """Marks that begin in the middle of a call are relayed: sockets without marks are checked again."""
    peer = Socket(4)
    client = Client(port, 4, 4, peer.address())
    seen = None
    for number in range(6000):
        if number == 300:
            client.mark(0xB8, 64)
        client.send(b"\x40\0\0\x01x", client.server)
        _, traffic_class, _, _ = peer.receive()
        if number < 300 and traffic_class:
            raise Failure(f"traffic class {traffic_class} before the client sets one")
        if traffic_class == 0xB8:
            seen = number
            break
    if seen is None:
        raise Failure("no mark was relayed")
    return {"noticed_after": seen - 300}


def expect(received, payload, mark, name):
    """Checks payload, mark, and the system's own TTL."""
    data, traffic_class, ttl, _ = received
    if data != payload:
        raise Failure(f"{name}: other bytes: {data.hex()}")
    if traffic_class != mark or ttl != 64:
        raise Failure(f"{name}: traffic class {traffic_class} for {mark}, TTL {ttl}")


def attribute(kind, value):
    return struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4)


def xored(address, transaction):
    host, port = address
    mask = struct.pack(">I", COOKIE) + transaction
    raw = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    return (bytes([0, 2 if ":" in host else 1]) + struct.pack(">H", port ^ 0x2112)
            + bytes(a ^ b for a, b in zip(raw, mask)))


def address_of(message, kind):
    offset = 20
    while offset < len(message):
        found, length = struct.unpack_from(">HH", message, offset)
        value = message[offset + 4:offset + 4 + length]
        if found == kind:
            raw = bytes(a ^ b for a, b in zip(value[4:], struct.pack(">I", COOKIE) + message[8:20]))
            family = socket.AF_INET if value[1] == 1 else socket.AF_INET6
            return socket.inet_ntop(family, raw), struct.unpack(">H", value[2:4])[0] ^ 0x2112
        offset += 4 + length + (-length % 4)
    raise Failure(f"no attribute {kind:#x} in {message.hex()}")


def _raise(failure):
    raise failure


if __name__ == "__main__":
    sys.exit(main())
