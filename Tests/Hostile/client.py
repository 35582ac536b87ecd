"""A TURN client over UDP with RFC 8489's retransmissions, for the calls of other users and for a greedy user."""

import os
import socket
import time

import messages


class Refused(Exception):
    """An error response; the argument is its code, or 0 if there was no answer in time."""


class Client:
    """A client with one five-tuple. `source` is any address of 127.0.0.0/8."""

    def __init__(self, server, source, name, password, deadline=2.0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((source, 0))
        self.socket.connect(server)
        self.name, self.key = name, messages.key(name, password)
        self.nonce = b""
        self.end = time.monotonic() + deadline

    def close(self):
        """Closes the socket; the allocation then expires."""
        self.socket.close()

    def ask(self, kind, body=b"", signed=True):
        """Sends a request and returns the attributes of its success response; raises `Refused`."""
        transaction = os.urandom(12)
        message = (messages.signed(kind, body, self.name, self.nonce, self.key, transaction) if signed
                   else messages.request(kind, body, transaction))
        interval = 0.5
        while True:
            try:
                self.socket.send(message)
                again = time.monotonic() + interval
                while (left := min(again, self.end) - time.monotonic()) > 0:
                    self.socket.settimeout(left)
                    answer = self.socket.recv(4096)
                    if answer[8:20] == transaction:
                        return self.judge(messages.attributes(answer))
            except TimeoutError:
                pass
            except ConnectionRefusedError:
                raise Refused(0) from None
            if time.monotonic() >= self.end:
                raise Refused(0)
            interval *= 2

    def judge(self, found):
        """Stores the nonce of a response; raises `Refused` for an error."""
        self.nonce = found.get(messages.NONCE, self.nonce)
        if code := messages.error_code(found):
            raise Refused(code)
        return found

    def allocate(self, transport=messages.UDP):
        """Gets a challenge and allocates; repeats both after a stale nonce."""
        body = messages.attribute(messages.TRANSPORT, transport)
        for attempt in range(3):
            try:
                return self.ask(messages.ALLOCATE, body, signed=attempt > 0)
            except Refused as refused:
                if refused.args[0] not in (401, 438) or attempt == 2:
                    raise
        raise Refused(0)


def new_call(server, source, name="load", password="benchmark"):
    """Whether a new allocation and a permission succeed within two seconds; the allocation is deleted again."""
    client = Client(server, source, name, password)
    try:
        client.allocate()
        client.ask(messages.CREATE_PERMISSION, messages.peer("127.0.0.1", 9))
        try:
            client.ask(messages.REFRESH, messages.attribute(messages.LIFETIME, bytes(4)))
        except Refused:
            pass
        return True
    except Refused:
        return False
    finally:
        client.close()


def relays_at(server, address):
    """Whether a new allocation has its relayed address at this IPv4 address."""
    one = Client(server, "127.70.1.1", "load", "benchmark")
    try:
        value = one.allocate().get(messages.RELAYED, bytes(8))
        one.ask(messages.REFRESH, messages.attribute(messages.LIFETIME, bytes(4)))
    except Refused:
        return False
    finally:
        one.close()
    return value[4:8] == bytes(a ^ b for a, b in zip(socket.inet_aton(address), messages.COOKIE.to_bytes(4, "big")))
