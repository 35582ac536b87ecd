"""Metadata services and STUN servers, honest and hostile, for public_address.py, which runs them in a namespace:

  public_address_fakes.py metadata KIND ADDRESS     HTTP at 169.254.169.254:80
  public_address_fakes.py stun MODE ADDRESS         UDP at 9.9.9.9:3480 and 9.9.9.10:3480
"""

import http.server
import socket
import struct
import sys
import time

PLACE = ("169.254.169.254", 80)
STUN_PORT = 3480
COOKIE = 0x2112A442
TOKEN = "AQAEAtoken-of-the-test_=="

# Path, and the header that the real service demands.
DOCUMENTS = {
    "aws": ("/latest/meta-data/public-ipv4", ("X-aws-ec2-metadata-token", TOKEN)),
    "ec2": ("/latest/meta-data/public-ipv4", None),
    "gcp": ("/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip",
            ("Metadata-Flavor", "Google")),
    "azure": ("/metadata/instance/network/interface/0/ipv4/ipAddress/0/publicIpAddress?api-version=2021-02-01"
              "&format=text", ("Metadata", "true")),
    "hetzner": ("/hetzner/v1/metadata/public-ipv4", None),
    "digitalocean": ("/metadata/v1/reserved_ip/ipv4/ip_address", None),
}

# The body that a hostile service sends for every request; `Metadata.hostile` has the other kinds.
BODIES = {
    "html": b"<html>11.1.0.9</html>", "private": b"192.168.1.1", "loopback": b"127.0.0.1", "empty": b"",
    "two": b"11.1.0.9\n11.1.0.8\n", "six": b"2001:db8::1", "huge": b"1" * 50_000_000,
}


class Metadata(http.server.BaseHTTPRequestHandler):
    """One metadata service."""

    kind, address = "", ""

    def do_PUT(self):  # noqa: N802 (the library's name)
        """Gives Amazon's token."""
        if self.kind == "aws" and self.path == "/latest/api/token":
            wants = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
            self.answer(200 if wants else 400, TOKEN.encode())
        elif self.kind == "bad-token":
            self.answer(200, b"a\r\nX-Evil: 1")
        else:
            self.hostile() or self.answer(404, b"no such document")

    def do_GET(self):  # noqa: N802
        """Gives a document."""
        path, header = DOCUMENTS.get(self.kind, ("", None))
        if path and self.path == path:
            good = header is None or self.headers.get(header[0]) == header[1]
            self.answer(200 if good else 401, self.address.encode() if good else b"")
        else:
            self.hostile() or self.answer(404, b"no such document")

    def hostile(self):
        """Answers as a hostile service; false if this one is honest."""
        if self.kind in BODIES:
            self.answer(200, BODIES[self.kind])
        elif self.kind == "stall":
            time.sleep(60)
        elif self.kind == "drip":
            self.send_response(200)
            self.end_headers()
            for _ in range(60):
                self.wfile.write(b"1")
                time.sleep(1)
        elif self.kind == "redirect":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data/elsewhere")
            self.end_headers()
        elif self.kind == "headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 5_000_000 + b"\r\n\r\n11.1.0.9")
        elif self.kind == "garbage":
            self.wfile.write(b"\x00\xff" * 5000)
        else:
            return False
        return True

    def answer(self, status, body):
        """Sends one answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):  # pylint: disable=redefined-builtin
        """Writes nothing."""


class Server(http.server.ThreadingHTTPServer):
    """A server that reports no error if a client hangs up."""

    def handle_error(self, request, client_address):
        pass


def success(request, address, transaction=None):
    """A Binding success response with XOR-MAPPED-ADDRESS."""
    number = struct.unpack(">I", socket.inet_aton(address))[0] ^ COOKIE
    value = struct.pack(">BBHI", 0, 1, 40000 ^ (COOKIE >> 16), number)
    body = struct.pack(">HH", 0x0020, len(value)) + value
    return struct.pack(">HHI", 0x0101, len(body), COOKIE) + (transaction or request[8:20]) + body


def stun(mode, address):
    """One STUN server at two addresses."""
    main = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    main.bind(("9.9.9.9", STUN_PORT))
    other.bind(("9.9.9.10", STUN_PORT))
    while True:
        request, client = main.recvfrom(2048)
        good = success(request, address)
        if mode == "honest":
            main.sendto(good, client)
        elif mode == "lies-first":  # from another address, and with another transaction ID; then the right answer
            other.sendto(success(request, "11.1.0.66"), client)
            main.sendto(success(request, "11.1.0.67", b"x" * 12), client)
            main.sendto(good, client)
        elif mode == "other-source":
            other.sendto(good, client)
        elif mode == "other-transaction":
            main.sendto(success(request, address, b"x" * 12), client)
        elif mode == "huge":
            main.sendto(good + b"\x80\x00\x00\x00" * 10_000, client)
        elif mode == "flood":
            for _ in range(20_000):
                main.sendto(b"\x01\x01\x00\x00" + b"y" * 40, client)
        elif mode == "cut":
            main.sendto(good[:-3], client)
        elif mode == "loopback":
            main.sendto(success(request, "127.0.0.1"), client)


def main():
    """Runs one service or server until it is killed."""
    what, mode, address = sys.argv[1:]
    if what == "metadata":
        Metadata.kind, Metadata.address = mode, address
        Server(PLACE, Metadata).serve_forever()
    else:
        stun(mode, address)


if __name__ == "__main__":
    main()
