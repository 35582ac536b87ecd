"""Attacks by unauthenticated clients and by one user. Each attack is an object. In the attacker's process `begin()`
prepares it, a paced loop calls `step(count)` to send units, and `end()` releases its resources.

`Attack.target` is the server, or a closed port of the same host for the control.
"""

import collections
import ctypes
import os
import random
import socket
import struct
import threading
import time

import client
import messages

ATTACKER = "127.66.0.1"


def address(number, network=127 << 24 | 67 << 16):
    """One of the 65,536 addresses of 127.67.0.0/16 in network order."""
    return struct.pack(">I", network + number % 65536)


class Attack:
    """The base of all attacks."""

    def __init__(self, target, tls, options):
        self.target, self.tls, self.options, self.answers = target, tls, options, 0
        self.connections = 0  # that the attack has opened and the server has ended
        self.has_begun = True  # false if the server did not let the attack begin, so that nothing is measured

    def begin(self):
        """Prepares the messages and sockets."""

    def step(self, count):
        """Sends `count` units. Returns how many it has sent, if it is not `count`."""

    def end(self):
        """Releases all resources."""


class Forged(Attack):
    """Datagrams from forged sources: IP_PKTINFO chooses an address of this host for each one. sendmmsg sends many in one
    call, because Python makes too few calls a second."""

    def begin(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.bind(("0.0.0.0", 0))
        self.batch = Batch(self.target, [self.make() for _ in range(2000)],
                           [self.source(number) for number in range(self.sources())])
        self.number = 0

    def sources(self):
        """The number of source addresses."""
        return self.options.get("sources", 50000)

    def source(self, number):
        """One source address in network order."""
        return address(number * 40503 % 65536)

    def make(self):
        """Makes one datagram."""
        return messages.request(messages.BINDING)

    def step(self, count):
        sent = 0
        while sent < count:
            most = min(count - sent, 512, self.batch.count - self.number)
            done = self.batch.send(self.socket.fileno(), self.number, most)
            if done <= 0:
                break
            sent += done
            self.number = (self.number + done) % self.batch.count
        return sent

    def end(self):
        """Counts the answers: the socket's buffer is small, and the kernel counts the datagrams that it drops."""
        port = f":{self.socket.getsockname()[1]:04X} "
        with open("/proc/net/udp", encoding="ascii") as table:
            self.answers = sum(int(line.split()[-1]) for line in table if port in line)


class Batch:
    """Datagrams for sendmmsg, one from each source, as an array of `struct mmsghdr` (64-bit)."""

    def __init__(self, target, datagrams, sources):
        self.count = len(sources)
        name = struct.pack("=HHI8x", socket.AF_INET, socket.htons(target[1]),
                           struct.unpack("=I", socket.inet_aton(target[0]))[0])
        self.name = ctypes.create_string_buffer(name, 16)
        self.bodies = [ctypes.create_string_buffer(datagram, len(datagram)) for datagram in datagrams]
        vectors = b"".join(struct.pack("=QQ", ctypes.addressof(body), len(body)) for body in self.bodies)
        self.vectors = ctypes.create_string_buffer(vectors, len(vectors))
        controls = b"".join(struct.pack("=QiiI4s4s4x", 28, socket.IPPROTO_IP, 8, 0, source, bytes(4)) for source in sources)
        self.controls = ctypes.create_string_buffer(controls, len(controls))
        headers = b"".join(
            struct.pack("=QI4xQQQQi4xI4x", ctypes.addressof(self.name), 16,
                        ctypes.addressof(self.vectors) + number % len(datagrams) * 16, 1,
                        ctypes.addressof(self.controls) + number * 32, 32, 0, 0)
            for number in range(self.count))
        self.headers = ctypes.create_string_buffer(headers, len(headers))
        self.library = ctypes.CDLL(None, use_errno=True)

    def send(self, descriptor, first, count):
        """Sends some of them; returns the number that the kernel took, or a negative number."""
        start = ctypes.c_void_p(ctypes.addressof(self.headers) + first * 64)
        return self.library.sendmmsg(descriptor, start, count, socket.MSG_DONTWAIT)


class ForgedAllocates(Forged):
    """Allocates of unknown users with a nonce that the server did not make."""

    def make(self):
        return messages.signed(
            messages.ALLOCATE, messages.attribute(messages.TRANSPORT, messages.UDP), os.urandom(6).hex(), os.urandom(16).hex().encode(),
            None)


class ForgedHellos(Forged):
    """ClientHellos of DTLS without a cookie: the server makes a MAC and a cookie for each."""

    def make(self):
        return messages.dtls_hello()


class VictimBindings(Forged):
    """Binding requests with the forged source of one victim."""

    def sources(self):
        return 2000

    def source(self, number):
        return socket.inet_aton("127.68.0.1")


class WrongPasswords(Attack):
    """Allocates from one address with a valid nonce, each with another time-limited name and a wrong integrity."""

    def begin(self):
        self.socket, nonce = self.challenged(ATTACKER)
        ends = int(time.time()) + 3600
        body = messages.attribute(messages.TRANSPORT, messages.UDP)
        self.datagrams = [messages.signed(messages.ALLOCATE, body, f"{ends}:{number}", nonce, None)
                          for number in range(1000)]
        self.number = 0

    def challenged(self, source, timeout=0.5):
        """A socket of this address, and the nonce that the server gave it."""
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.bind((source, 0))
        client.connect(self.target)
        client.settimeout(timeout)
        nonce = b"none"
        try:
            client.send(messages.request(messages.ALLOCATE, messages.attribute(messages.TRANSPORT, messages.UDP)))
            nonce = messages.attributes(client.recv(4096)).get(messages.NONCE, nonce)
        except OSError:
            self.has_begun = False
        client.setblocking(False)
        return client, nonce

    def step(self, count):
        for _ in range(count):
            self.number += 1
            try:
                self.socket.send(self.datagrams[self.number % 1000])
            except OSError:
                pass


class NetworkPasswords(WrongPasswords):
    """The same from 250 addresses of one network, each below the limit of an address."""

    def begin(self):
        ends = int(time.time()) + 3600
        body = messages.attribute(messages.TRANSPORT, messages.UDP)
        self.clients = []
        for number in range(250):
            client, nonce = self.challenged(f"127.66.4.{1 + number}", 0.5 if self.has_begun else 0.01)
            self.clients.append((client, [
                messages.signed(messages.ALLOCATE, body, f"{ends}:{number}-{count}", nonce, None) for count in range(20)]))
        self.number = 0

    def step(self, count):
        for _ in range(count):
            self.number += 1
            client, datagrams = self.clients[self.number % len(self.clients)]
            try:
                client.send(datagrams[self.number // len(self.clients) % len(datagrams)])
            except OSError:
                pass


class UnknownUsers(NetworkPasswords):
    """Allocates from 32 addresses with valid nonces and names that only the store or `auth.hook` could know."""

    def begin(self):
        body = messages.attribute(messages.TRANSPORT, messages.UDP)
        self.clients = []
        for number in range(32):
            client, nonce = self.challenged(f"127.66.1.{1 + number}")
            self.clients.append((client, [messages.signed(messages.ALLOCATE, body, f"user-{number}-{count}", nonce, None)
                                          for count in range(200)]))
        self.number = 0


class Connections(Attack):
    """TCP connections. Each sends `self.first` and stays open for `hold` seconds."""

    first = b""

    def begin(self):
        self.open = collections.deque()
        self.number = 0

    def source(self):
        """The source address of the next connection."""
        addresses = self.options.get("addresses", 1)
        return f"127.66.0.{1 + self.number % addresses}"

    def step(self, count):
        now = time.monotonic()
        while self.open and self.open[0][0] < now:
            self.open.popleft()[1].close()
        for _ in range(count):
            if len(self.open) >= self.options.get("most", 4000):
                return
            self.number += 1
            self.connect(now)

    def connect(self, now):
        """Opens one more connection."""
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.settimeout(0.05)
        try:
            connection.bind((self.source(), 0))
            connection.connect(self.tls)
            if self.first:
                connection.send(self.first)
            self.open.append((now + self.options.get("hold", 1), connection))
        except OSError:
            connection.close()

    def end(self):
        for _, connection in self.open:
            connection.close()


class AdminRequests(Connections):
    """Connections to the admin endpoint, in turn: silent ones, slow headers, a body that is too long or never comes, and
    complete requests with a wrong token. `target` is the endpoint."""

    KINDS = [
        b"", b"GET / HTTP/1.1\r\nHo", b"POST /api/v1/drain HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + bytes(4096),
        b"POST /api/v1/drain HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\nx",
        b"GET /api/v1/sessions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer wrong\r\n\r\n" * 20,
        b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 20, b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n" * 20]

    def connect(self, now):
        self.tls, self.first = self.target, self.KINDS[self.number % len(self.KINDS)]
        super().connect(now)


class RoomSockets(Connections):
    """WebSockets of the demo page, in turn: of another origin, a silent one, one with a wrong key, one with garbage, one
    with a message that never ends. `target` is the admin endpoint."""

    OTHER = b"GET /demo/socket HTTP/1.1\r\nHost: a\r\nOrigin: https://b\r\n"
    OWN = b"GET /demo/socket HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n"
    UPGRADE = (b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    WRONG = b'{"type":"join","room":"a","key":"AAAA"}'

    def connect(self, now):
        kinds = [
            self.OTHER + self.UPGRADE, self.OWN + self.UPGRADE,
            self.OWN + self.UPGRADE + bytes([0x81, 0x80 | len(self.WRONG), 0, 0, 0, 0]) + self.WRONG,
            self.OWN + self.UPGRADE + bytes([0x81, 0xFE, 0x40, 0, 0, 0, 0, 0]) + b"[" * 0x4000,
            self.OWN + self.UPGRADE + bytes([0x01, 0xFF, 0, 0, 0, 0, 0x7F, 0, 0, 0, 0, 0, 0, 0]) + b"x" * 8192]
        self.tls, self.first = self.target, kinds[self.number % len(kinds)]
        super().connect(now)


class Unanswered(Connections):
    """Allocates without credentials over TCP, more than the budget of their addresses: the server keeps them and tries
    again every 250 ms."""

    def begin(self):
        super().begin()
        self.first = messages.request(messages.ALLOCATE, messages.attribute(messages.TRANSPORT, messages.UDP))


class Hellos(Connections):
    """Complete ClientHellos: the server makes a signature for each."""

    def begin(self):
        super().begin()
        self.first = messages.tls_hello()


class AdminHellos(Hellos):
    """Complete ClientHellos for the admin endpoint. `target` is the endpoint."""

    def connect(self, now):
        self.tls = self.target
        super().connect(now)


class FiveBytes(Connections):
    """Connections that send the header of a TLS record."""

    first = b"\x16\x03\x01\x02\x00"


class ProxyHeaders(Connections):
    """Beginnings of PROXY headers from the addresses that the server trusts: each connection waits for the rest."""

    first = bytes.fromhex("0d0a0d0a000d0a515549540a21110fe0") + bytes(1400)


class DTLSHellos(Attack):
    """Handshakes from 40 addresses that stop after the cookie exchange."""

    fragments = False

    def begin(self):
        self.waiting, self.sockets = {}, collections.deque()
        self.number = 0

    def step(self, count):
        for _ in range(count):
            self.number += 1
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.setblocking(False)
            opened.bind((f"127.66.1.{1 + self.number % 40}", 0))
            try:
                opened.connect(self.tls)
                opened.send(messages.dtls_hello())
            except OSError:
                pass
            self.waiting[opened] = time.monotonic()
        for opened in list(self.waiting)[:400]:
            self.answer(opened)

    def answer(self, opened):
        """Sends the second ClientHello when the cookie has arrived."""
        try:
            cookie = messages.dtls_cookie(opened.recv(2048))
        except BlockingIOError:
            if time.monotonic() - self.waiting[opened] < 1:
                return
            cookie = None
        except OSError:
            cookie = None
        del self.waiting[opened]
        if cookie is None:
            opened.close()
            return
        try:
            opened.send(messages.dtls_hello(cookie, 1))
            for record in range(5 if self.fragments else 0):
                opened.send(b"".join(
                    messages.dtls_handshake(16, sequence, 16384, record, b"x", 2 + record * 9 + sequence)
                    for sequence in range(2, 11)))
        except OSError:
            pass
        self.sockets.append(opened)
        while len(self.sockets) > 3000:
            self.sockets.popleft().close()


class DTLSFragments(DTLSHellos):
    """Like `DTLSHellos`, with first fragments of nine handshake messages of 16 KiB on each association."""

    fragments = True


class KeyUpdates(Attack):
    """TLS 1.3 connections that send only KeyUpdates. The server ends each after 32 of them, so new ones are opened all the
    time: `connections` handshakes are under way at once."""

    UPDATES = 34  # on each connection; the server reads one more than it allows

    def begin(self):
        self.open, self.number, self.connections = [], 0, 0
        library = ctypes.CDLL("libssl.so.3")
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new", "BIO_new", "BIO_s_mem"):
            getattr(library, name).restype = ctypes.c_void_p
        self.library = library
        self.context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
        self.buffer = ctypes.create_string_buffer(65536)
        self.refill()
        self.has_begun = bool(self.open)

    def refill(self):
        """Opens connections until enough are in their handshake."""
        while len(self.open) < self.options.get("connections", 40):
            self.number += 1
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            connection.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.setblocking(False)
            try:
                connection.bind((f"127.66.0.{1 + self.number % 16}", 0))
                connection.connect(self.tls)
            except BlockingIOError:
                pass
            except OSError:
                connection.close()
                return
            engine = ctypes.c_void_p(self.library.SSL_new(self.context))
            memory = [ctypes.c_void_p(self.library.BIO_new(ctypes.c_void_p(self.library.BIO_s_mem()))) for _ in range(2)]
            self.library.SSL_set_bio(engine, *memory)
            self.library.SSL_set_connect_state(engine)
            self.open.append((connection, engine, memory))

    def output(self, memory):
        """What OpenSSL wants to send."""
        count = self.library.BIO_read(memory[1], self.buffer, 65536)
        return self.buffer.raw[:count] if count > 0 else b""

    def advance(self, connection, engine, memory):
        """Continues a handshake. True when it is complete; raises OSError when the server has closed."""
        try:
            if received := connection.recv(16384):
                self.library.BIO_write(memory[0], received, len(received))
            else:
                raise ConnectionError("the server closed")
        except BlockingIOError:
            pass
        done = self.library.SSL_do_handshake(engine) == 1
        if waiting := self.output(memory):
            connection.send(waiting)
        return done

    @staticmethod
    def has_ended(connection):
        """Whether the server has ended a connection: only these are counted."""
        try:
            while connection.recv(16384):
                pass
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def step(self, count):
        sent, left = 0, []
        for entry in self.open:
            if sent >= count:
                left.append(entry)
                continue
            connection, engine, memory = entry
            try:
                if not self.advance(connection, engine, memory):
                    left.append(entry)
                    continue
                for _ in range(self.UPDATES):
                    self.library.SSL_key_update(engine, 0)
                    self.library.SSL_do_handshake(engine)
                connection.send(self.output(memory))
                sent += self.UPDATES
            except BlockingIOError:  # not connected yet
                left.append(entry)
                continue
            except OSError:
                pass
            self.library.SSL_free(engine)
            # Closed later, with a reset, so that the server reads everything first.
            self.ending = getattr(self, "ending", collections.deque())
            self.ending.append(connection)
            while len(self.ending) > 60:
                oldest = self.ending.popleft()
                self.connections += self.has_ended(oldest)
                oldest.close()
        self.open = left
        self.refill()
        self.answers += sent
        return sent


class AdminKeyUpdates(KeyUpdates):
    """The same at the admin endpoint. `target` is the endpoint."""

    def begin(self):
        self.tls = self.target
        super().begin()


class LyingSources(Attack):
    """The sources of `relay.detect`: a STUN server that floods each question with answers to other questions, tells a
    multicast address in every second one and leaves the others without an answer; and a metadata service with long,
    endless and false documents, redirects and silence. For the control the flood goes to a closed port."""

    STUN_PORT = 21499
    LIES = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n10.0.0.1", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n127.0.0.1",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:21478/\r\nContent-Length: 0\r\n\r\n", b"",
        b"HTTP/1.1 200 OK\r\n" + b"X-Lie: " + b"x" * 8000 + b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"\xff" * 4000]

    def begin(self):
        self.asker, self.questions = ("127.0.0.1", 9), 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        if self.target[1] == 9:
            return
        self.socket.bind(("127.0.0.1", self.STUN_PORT))
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("169.254.169.254", 80))
        self.listener.listen(64)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        """Answers every request to the metadata service with the next lie, at most a megabyte of it."""
        number = 0
        while True:
            connection, _ = self.listener.accept()
            lie = self.LIES[number % len(self.LIES)]
            number += 1
            threading.Thread(target=self.lie, args=(connection, lie), daemon=True).start()

    @staticmethod
    def lie(connection, lie):
        """Sends one answer, then repeats its last part for a while."""
        connection.settimeout(4)
        try:
            connection.recv(4096)
            connection.sendall(lie)
            for _ in range(256 if len(lie) > 60 and b"Length: 8" not in lie else 0):
                connection.sendall(lie[-4000:])
            connection.recv(4096)
        except OSError:
            pass
        connection.close()

    def step(self, count):
        try:
            while True:
                request, self.asker = self.socket.recvfrom(2048)
                self.questions += 1
                self.answers += 1
                if self.questions % 2 and len(request) >= 20:
                    # XOR-MAPPED-ADDRESS 224.0.0.1, no address of a host: any other answer would be believed.
                    body = struct.pack(">HHBBHI", 0x20, 8, 0, 1, 4242 ^ 0x2112, 0xE0000001 ^ messages.COOKIE)
                    self.socket.sendto(messages.header(0x0101, len(body), request[8:20]) + body, self.asker)
        except BlockingIOError:
            pass
        except OSError:
            pass
        lie = messages.header(0x0101, 12, os.urandom(12)) + struct.pack(">HHBBHI", 0x20, 8, 0, 1, 1, 0x08080808)
        for _ in range(count):
            try:
                self.socket.sendto(lie, self.asker)
            except OSError:
                pass


class OneUser(Attack):
    """One user who makes as many allocations as possible."""

    def begin(self):
        self.number, self.clients, self.answers = 0, [], 0

    def step(self, count):
        for _ in range(count):
            self.number += 1
            # Each challenge takes from its address's budget, so the user has many addresses.
            one = client.Client(self.target, f"127.66.{2 + self.number % 40}.1", "mallory", "valid", deadline=0.2)
            try:
                one.allocate()
                self.answers += 1
                self.clients.append(one)
            except (client.Refused, OSError):
                one.close()


class HeavyUser(Attack):
    """One user who sends datagrams of the size of video through a channel, more than `limits.bandwidth` allows."""

    def begin(self):
        self.one = None
        self.sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sink.bind((ATTACKER, 0))
        self.sink.setblocking(False)
        one = client.Client(self.target, ATTACKER, "mallory", "valid")
        try:
            one.allocate()
            one.ask(messages.CHANNEL_BIND, messages.attribute(messages.CHANNEL, b"\x40\x01\0\0")
                    + messages.peer(ATTACKER, self.sink.getsockname()[1]))
        except (client.Refused, OSError):
            self.has_begun = False
            return
        self.one = one
        self.one.socket.setblocking(False)

    def step(self, count):
        data = bytes(1000)
        self.send(data for _ in range(count))

    def send(self, payloads):
        """Sends payloads through the channel, and counts the datagrams that the peer has received."""
        for payload in payloads if self.one else ():
            try:
                self.one.socket.send(b"\x40\x01" + struct.pack(">H", len(payload)) + payload)
            except OSError:
                pass
        try:
            while self.sink.recv(2048):
                self.answers += 1
        except BlockingIOError:
            pass


class FalseRTP(HeavyUser):
    """One user whose datagrams look like RTP: random numbers, timestamps and streams."""

    def step(self, count):
        self.send(self.packet() for _ in range(count))

    @staticmethod
    def packet():
        """A header of RTP with random fields, and 48 bytes."""
        number = random.choice((0, 1, 2, 0xFFFF, random.getrandbits(16)))
        return struct.pack(">BBHII", 0x80, 111, number, random.getrandbits(32), random.randrange(4)) + bytes(48)


class ManyPeers(Attack):
    """One user whose allocation permits new peers, 50 in each request. A full allocation is replaced."""

    def begin(self):
        self.one, self.next, self.number = None, 0, 0

    def step(self, count):
        for _ in range(count):
            try:
                if self.one is None:
                    self.number += 1
                    self.one = client.Client(self.target, f"127.66.3.{1 + self.number % 200}", "mallory", "valid", deadline=30)
                    self.one.allocate()
                body = b"".join(
                    messages.peer(f"20.{(self.next + n) >> 16 & 255}.{(self.next + n) >> 8 & 255}.{(self.next + n) & 255}", 0)
                    for n in range(50))
                self.one.ask(messages.CREATE_PERMISSION, body)
                self.answers += 50
                self.next += 50
            except (client.Refused, OSError):
                self.restart()

    def restart(self):
        """Deletes the full allocation; the next step makes a new one."""
        if self.one is None:
            return
        try:
            self.one.end = time.monotonic() + 0.1
            self.one.ask(messages.REFRESH, messages.attribute(messages.LIFETIME, bytes(4)))
        except (client.Refused, OSError):
            pass
        self.one.close()
        self.one = None


class Connects(Attack):
    """One user who requests connections to closed ports as fast as the server answers (RFC 6062)."""

    def begin(self):
        self.socket, self.buffer, self.number = None, b"", 0
        try:
            self.socket = socket.create_connection(self.target, timeout=1, source_address=(ATTACKER, 0))
            body = messages.attribute(messages.TRANSPORT, messages.TCP)
            self.socket.send(messages.request(messages.ALLOCATE, body))
            self.nonce = messages.attributes(self.socket.recv(4096))[messages.NONCE]
            self.key = messages.key("mallory", "valid")
            self.socket.send(messages.signed(messages.ALLOCATE, body, "mallory", self.nonce, self.key))
            self.socket.recv(4096)
            self.socket.setblocking(False)
        except (OSError, KeyError):
            self.has_begun, self.socket = False, None

    def step(self, count):
        for _ in range(count if self.socket else 0):
            self.number += 1
            body = messages.peer("127.0.0.1", 1 + self.number % 1000)
            try:
                self.socket.send(messages.signed(messages.CONNECT, body, "mallory", self.nonce, self.key))
            except OSError:
                pass
        self.read()

    def read(self):
        """Counts the closed ports that the server has reported."""
        try:
            while self.socket and (received := self.socket.recv(65536)):
                self.buffer += received
        except OSError:
            pass
        while len(self.buffer) >= 20:
            length = 20 + struct.unpack_from(">H", self.buffer, 2)[0]
            if len(self.buffer) < length:
                return
            if messages.error_code(messages.attributes(self.buffer[:length])) == 447:
                self.answers += 1
            self.buffer = self.buffer[length:]


def paced(attack, rate, end):
    """Calls `step` about each millisecond at the given rate until `end`. Returns the rate that was reached."""
    start, done, left_out = time.monotonic(), 0, 0  # `left_out` counts units that were not sent
    while (now := time.monotonic()) < end:
        due = int((now - start) * rate)
        # Units that could not be sent in time are not sent later, because a burst would be another attack.
        if due - done > rate / 20:
            left_out += due - int(rate / 20) - 1 - done
            done = due - int(rate / 20) - 1
        if due > done:
            sent = attack.step(due - done)
            left_out += 0 if sent is None else due - done - sent
            done = due
        time.sleep(0.001 + random.random() / 4000)
    return (done - left_out) / (time.monotonic() - start)
