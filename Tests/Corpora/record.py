#!/usr/bin/python3
"""Records the messages that other projects' clients send to the server: Tests/Corpora/requests/NAME.txt.

  Tests/Corpora/record.py                  all installed clients
  Tests/Corpora/record.py --only firefox   clients whose name has this word

Each client runs alone, in its own namespaces, against a server with one test user. A raw socket records its packets to
the server over UDP and TCP. Of messages with the same transport, type and attributes only the first is kept. This script
writes a description of each message without our codec, so that the codec's test compares two independent decoders.
"""

import argparse
import asyncio
import binascii
import datetime
import hashlib
import hmac
import ipaddress
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
INTEROP = os.path.join(os.path.dirname(HERE), "Interop")
sys.path.insert(0, INTEROP)

# pylint: disable=wrong-import-position
import call  # noqa: E402
import chromium  # noqa: E402
import firefox  # noqa: E402
import ice_clients  # noqa: E402
import isolation  # noqa: E402
import pion  # noqa: E402
import server  # noqa: E402

USER, PASSWORD, REALM = "alice", "correct horse", "turnpike"
HOST, INTERFACE = "127.0.0.1", "10.77.0.2"
PORTS = {3478, 3479}
COOKIE = 0x2112A442
LIMIT = 40  # messages of one client

METHODS = {1: "Binding", 3: "Allocate", 4: "Refresh", 6: "Send", 7: "Data", 8: "CreatePermission", 9: "ChannelBind",
           10: "Connect", 11: "ConnectionBind", 12: "ConnectionAttempt"}
CLASSES = {0: "request", 1: "indication", 2: "success response", 3: "error response"}
NAMES = {
    0x0003: "CHANGE-REQUEST", 0x0006: "USERNAME", 0x0008: "MESSAGE-INTEGRITY", 0x000C: "CHANNEL-NUMBER",
    0x000D: "LIFETIME", 0x0012: "XOR-PEER-ADDRESS", 0x0013: "DATA", 0x0014: "REALM", 0x0015: "NONCE",
    0x0017: "REQUESTED-ADDRESS-FAMILY", 0x0018: "EVEN-PORT", 0x0019: "REQUESTED-TRANSPORT", 0x001A: "DONT-FRAGMENT",
    0x001B: "ACCESS-TOKEN", 0x001C: "MESSAGE-INTEGRITY-SHA256", 0x001D: "PASSWORD-ALGORITHM", 0x001E: "USERHASH",
    0x0022: "RESERVATION-TOKEN", 0x0026: "PADDING", 0x0027: "RESPONSE-PORT", 0x002A: "CONNECTION-ID",
    0x8000: "ADDITIONAL-ADDRESS-FAMILY", 0x8002: "PASSWORD-ALGORITHMS", 0x8022: "SOFTWARE", 0x8028: "FINGERPRINT",
    0x8030: "MOBILITY-TICKET"}


# Packets

class Watch(threading.Thread):
    """Keeps every IP packet of the namespace until it is stopped."""

    def __init__(self):
        super().__init__(daemon=True)
        self.packets = []
        self.stopped = threading.Event()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)

    def run(self):
        while True:
            readable, _, _ = select.select([self.socket], [], [], 0.2)
            if readable:
                packet, address = self.socket.recvfrom(70_000)
                if address[2] == socket.PACKET_OUTGOING and len(self.packets) < 500_000:
                    self.packets.append(packet)
            elif self.stopped.is_set():
                return

    def stop(self):
        """Stops, and returns the sent packets in order."""
        self.stopped.set()
        self.join()
        self.socket.close()
        return self.packets


def segments(packets):
    """Protocol, source and destination port, TCP sequence number and payload of IPv4 packets without fragments."""
    for packet in packets:
        if len(packet) < 28 or packet[0] >> 4 != 4 or int.from_bytes(packet[6:8], "big") & 0x3FFF:
            continue
        start = (packet[0] & 15) * 4
        end = int.from_bytes(packet[2:4], "big") or len(packet)
        source, target = (int.from_bytes(packet[start + at:start + at + 2], "big") for at in (0, 2))
        if packet[9] == 17:
            yield "UDP", source, target, 0, packet[start + 8:end]
        elif packet[9] == 6:
            data = start + (packet[start + 12] >> 4) * 4
            yield "TCP", source, target, int.from_bytes(packet[start + 4:start + 8], "big"), packet[data:end]


def messages(packets):
    """Transport and bytes of each STUN message to the server."""
    streams, expected = {}, {}
    for transport, source, target, sequence, payload in segments(packets):
        if target not in PORTS or not payload:
            continue
        if transport == "UDP":
            if payload[0] < 4 and len(payload) >= 20:
                yield transport, payload
            continue
        if expected.get(source, sequence) != sequence:
            continue  # a retransmission: nothing is lost on loopback
        expected[source] = (sequence + len(payload)) & 0xFFFFFFFF
        stream = streams.setdefault(source, bytearray())
        stream += payload
        while len(stream) >= 4:
            length = int.from_bytes(stream[2:4], "big")
            whole = 20 + length if stream[0] < 4 else 4 + (length + 3 & ~3)
            if stream[0] >= 0x80 or len(stream) < whole:
                break
            if stream[0] < 4 and int.from_bytes(stream[4:8], "big") == COOKIE:
                yield transport, bytes(stream[:whole])
            del stream[:whole]


# Messages

def attributes(message):
    """Type, offset and value of each attribute."""
    offset = 20
    while offset + 4 <= len(message):
        kind, count = (int.from_bytes(message[offset + at:offset + at + 2], "big") for at in (0, 2))
        yield kind, offset, message[offset + 4:offset + 4 + count]
        offset += 4 + (count + 3 & ~3)


def text(message, kind, offset, value):
    """The description of an attribute."""
    name = NAMES.get(kind, f"0x{kind:04X}")
    number = int.from_bytes(value, "big")
    if kind in (0x0006, 0x0014, 0x0015, 0x8022):
        said = '"' + value.rstrip(b"\0").decode() + '"'
    elif kind == 0x0012:
        said = address(message, value)
    elif kind == 0x000C:
        said = f"0x{number >> 16:04X}"
    elif kind in (0x0017, 0x0019, 0x8000):
        said = str(number >> 24)
    elif kind in (0x000D, 0x0003):
        said = str(number)
    elif kind == 0x0018:
        said = "next port reserved" if number & 0x80 else "even port"
    elif kind in (0x0013, 0x001B, 0x0026):
        said = f"{len(value)} bytes"
    elif kind == 0x0008:
        said = "right" if integrity(message, offset, 20, hashlib.sha1) == value else "WRONG"
    elif kind == 0x001C:
        said = "right" if integrity(message, offset, 32, hashlib.sha256) == value else "WRONG"
    elif kind == 0x8028:
        head = message[:2] + (offset + 8 - 20).to_bytes(2, "big") + message[4:offset]
        said = "right" if binascii.crc32(head) ^ 0x5354554E == number else "WRONG"
    else:
        said = value.hex()
    return f"{name} {said}".rstrip()


def address(message, value):
    """A masked address (RFC 8489 section 14.2)."""
    port = int.from_bytes(value[2:4], "big") ^ COOKIE >> 16
    mask = message[4:20]
    host = ipaddress.ip_address(bytes(one ^ other for one, other in zip(value[4:], mask)))
    return f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"


def integrity(message, offset, count, algorithm):
    """The right MAC of the attribute at `offset` (RFC 8489 sections 9.2.2, 14.5, 14.6)."""
    chosen = [value for kind, _, value in attributes(message) if kind == 0x001D]
    long_term = f"{USER}:{REALM}:{PASSWORD}".encode()
    sha256 = chosen and chosen[0][:2] == b"\0\2"
    key = hashlib.sha256(long_term).digest() if sha256 else hashlib.md5(long_term).digest()
    head = message[:2] + (offset + 4 + count - 20).to_bytes(2, "big") + message[4:offset]
    return hmac.new(key, head, algorithm).digest()


def kept(found):
    """The first message of each kind, with its description."""
    seen = {}
    for transport, message in found:
        bits = int.from_bytes(message[:2], "big")
        if int.from_bytes(message[4:8], "big") != COOKIE:
            continue  # another reader reads the classic form
        method = bits & 0x000F | bits >> 1 & 0x0070 | bits >> 2 & 0x0F80
        kind = bits >> 7 & 2 | bits >> 4 & 1
        key = (transport, bits, tuple(kind for kind, _, _ in attributes(message)))
        if key in seen or len(seen) >= LIMIT:
            continue
        words = [f"{METHODS.get(method, method)} {CLASSES[kind]} over {transport}"]
        words += ["  " + text(message, *attribute) for attribute in attributes(message)]
        words += ["  = " + message[at:at + 48].hex() for at in range(0, len(message), 48)]
        seen[key] = words
    return list(seen.values())


# The clients

def browser(maker):
    """A call between two pages of one browser, relays only, over UDP and over TCP, with a Binding before it."""
    def run(options, _directory):
        with maker() as running:
            for transport in ("udp", "tcp"):
                servers = [{"urls": [f"stun:{HOST}:{options.port}"]},
                           {"urls": [f"turn:{HOST}:{options.port}?transport={transport}"], "username": USER,
                            "credential": PASSWORD}]
                call.gather(running.page(), servers, policy="all")
                pages = running.page(), running.page()
                relays = servers[1:]
                progress = call.establish(*pages, (relays, relays), "relay", 30, call.everything_arrived)
                call.stop(*pages)
                call.demand_everything(*progress)
    return run


def libnice(options, _directory):
    """Two agents of libnice."""
    for transport in ("udp", "tcp"):
        ice_clients.nice(options, transport)


def aiortc(options, _directory):
    """Peer connections of aiortc, agents of aioice, and its TURN client by itself."""
    sys.path.insert(0, str(ice_clients.PACKAGES))
    for transport in ("udp", "tcp"):
        asyncio.run(asyncio.wait_for(ice_clients.aioice_echo(options, transport), 30))
        asyncio.run(asyncio.wait_for(ice_clients.aiortc_call(options, transport), 30))


def pion_client(options, directory):
    """The client built with pion's library."""
    pion.build(directory)
    for transport in ("udp", "tcp"):
        subprocess.run([f"{directory}/pion_client", "-transport", transport, "-server", f"{HOST}:{options.port}",
                        "-user", USER, "-password", PASSWORD], capture_output=True, timeout=60, check=True)


def coturn(options, _directory):
    """coturn's tools: Binding, relays by channels, Send, TCP allocations, mobility, NAT discovery."""
    relay = ["turnutils_uclient", "-p", str(options.port), "-u", USER, "-w", PASSWORD, "-n", "3", "-m", "1"]
    between = ["-y"]
    for words in (["turnutils_stunclient", "-p", str(options.port), HOST], [*relay, *between, HOST],
                  [*relay, *between, "-t", HOST], [*relay, *between, "-s", HOST], [*relay, *between, "-x", HOST],
                  [*relay, *between, "-g", HOST], [*relay, *between, "-M", HOST], [*relay, "-T", HOST],
                  ["turnutils_natdiscovery", "-m", "-f", "-c", "-p", str(options.port), HOST]):
        subprocess.run(words, capture_output=True, timeout=60, check=False)


def debian(package):
    """A package's version."""
    return subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}", package], capture_output=True, text=True,
                          check=False).stdout


def program(*words):
    """The version that a program prints."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip().splitlines()[0]


CLIENTS = {
    "chromium": ("Chromium", lambda: f"{program('chromium', '--version')} ({debian('chromium')})",
                 browser(chromium.Chromium)),
    "firefox": ("Firefox", lambda: f"{program('firefox-esr', '--version')} ({debian('firefox-esr')})",
                browser(firefox.Firefox)),
    "libnice": ("libnice", lambda: debian("libnice10"), libnice),
    "aiortc": ("aiortc and aioice (PyPI)", lambda: " ".join(
        line.split("#")[0].strip() for line in open(os.path.join(INTEROP, "requirements.txt"), encoding="utf-8")
        if line[:1].isalpha()), aiortc),
    "pion": ("pion/turn (Go)", lambda: debian("golang-github-pion-turn.v2-dev"), pion_client),
    "coturn": ("coturn's tools (turnutils_uclient, turnutils_stunclient, turnutils_natdiscovery)",
               lambda: debian("coturn"), coturn),
}


def record(arguments, name):
    """Runs one client and writes the messages that it sent."""
    title, version, run = CLIENTS[name]
    options = server.Options(
        hosts=[HOST, INTERFACE], users={USER: PASSWORD}, allow_peers=["127.0.0.0/8"],
        settings={"realm": REALM, "relay.mobility": "true", "relay.tcp": "true"})
    with tempfile.TemporaryDirectory(prefix="turnpike-corpus-") as directory, server.Server(arguments, options):
        watch = Watch()
        watch.start()
        try:
            run(options, directory)
        finally:
            found = kept(messages(watch.stop()))
    head = [f"# {title}: {version()}", f"# {datetime.date.today()}, by Tests/Corpora/record.py on loopback.",
            f"# User {USER}, realm {REALM}, password {PASSWORD}: made up for this record.", ""]
    with open(os.path.join(HERE, "requests", f"{name}.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(head + ["\n".join(words) + "\n" for words in found]))
    print(f"{name}: {len(found)} messages", flush=True)


def main():
    """Records one client after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    server.add_arguments(parser)
    parser.add_argument("--only", default="", help="clients whose name has this word")
    arguments = parser.parse_args()
    if not isolation.isolated():
        ice_clients.fetch()
    if not isolation.enter(required=True):
        raise SystemExit("no namespaces here: the messages of other programs would be mixed in")
    isolation.look_like_a_laptop()
    for name in CLIENTS:
        if arguments.only in name:
            record(arguments, name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
