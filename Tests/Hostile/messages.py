"""STUN messages, TLS and DTLS records as bytes, for clients without credentials."""

import hashlib
import hmac
import os
import socket
import ssl
import struct

COOKIE = 0x2112A442
REALM = "turnpike"
BINDING, ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND, CONNECT = 0x0001, 0x0003, 0x0004, 0x0008, 0x0009, 0x000A
USERNAME, INTEGRITY, ERROR_CODE, PEER, REALM_TYPE, NONCE, TRANSPORT, LIFETIME, RELAYED, CHANNEL = (
    0x0006, 0x0008, 0x0009, 0x0012, 0x0014, 0x0015, 0x0019, 0x000D, 0x0016, 0x000C)
UDP, TCP = b"\x11\0\0\0", b"\x06\0\0\0"


def attribute(kind, value):
    """An attribute: type, length, value, padding."""
    return struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4)


def header(kind, length, transaction):
    """A message's header of 20 bytes."""
    return struct.pack(">HHI", kind, length, COOKIE) + transaction


def request(kind, body=b"", transaction=None):
    """A request without credentials."""
    return header(kind, len(body), transaction or os.urandom(12)) + body


def key(name, password, realm=REALM):
    """The long-term key."""
    return hashlib.md5(f"{name}:{realm}:{password}".encode()).digest()


def signed(kind, body, name, nonce, secret, transaction=None):
    """A request with long-term credentials. If `secret` is None, the integrity is random."""
    transaction = transaction or os.urandom(12)
    body += attribute(USERNAME, name.encode()) + attribute(REALM_TYPE, REALM.encode()) + attribute(NONCE, nonce)
    whole = header(kind, len(body) + 24, transaction) + body
    mac = os.urandom(20) if secret is None else hmac.new(secret, whole, hashlib.sha1).digest()
    return whole + attribute(INTEGRITY, mac)


def peer(address, port):
    """XOR-PEER-ADDRESS of an IPv4 address."""
    word = struct.unpack(">I", socket.inet_aton(address))[0] ^ COOKIE
    return attribute(PEER, struct.pack(">BBHI", 0, 1, port ^ COOKIE >> 16, word))


def attributes(message):
    """The attributes of a message; only the first of each type."""
    found, offset = {}, 20
    while offset + 4 <= len(message):
        kind, length = struct.unpack_from(">HH", message, offset)
        found.setdefault(kind, message[offset + 4:offset + 4 + length])
        offset += 4 + (length + 3) // 4 * 4
    return found


def error_code(found):
    """The code of an error response's attributes; 0 for a success."""
    value = found.get(ERROR_CODE)
    return value[2] * 100 + value[3] if value else 0


def tls_hello():
    """A ClientHello as OpenSSL sends it. It can be sent repeatedly."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def dtls_hello(cookie=b"", sequence=0, random=bytes(32)):
    """A ClientHello of DTLS 1.2, with the cookie of a HelloVerifyRequest if it is given."""
    suites = struct.pack(">HHH", 0xC02B, 0xC02F, 0x00FF)
    groups = struct.pack(">HHHHH", 10, 6, 4, 29, 23)
    algorithms = struct.pack(">HHHHHHH", 13, 10, 8, 0x0403, 0x0804, 0x0401, 0x0503)
    formats = struct.pack(">HHBB", 11, 2, 1, 0)
    extensions = groups + algorithms + formats
    body = (b"\xfe\xfd" + random + b"\0" + bytes([len(cookie)]) + cookie + struct.pack(">H", len(suites)) + suites
            + b"\1\0" + struct.pack(">H", len(extensions)) + extensions)
    return dtls_handshake(1, sequence, len(body), 0, body, sequence)


def dtls_handshake(kind, sequence, length, offset, fragment, record):
    """One record with one fragment of a handshake message."""
    message = (bytes([kind]) + length.to_bytes(3, "big") + struct.pack(">H", sequence) + offset.to_bytes(3, "big")
               + len(fragment).to_bytes(3, "big") + fragment)
    return b"\x16\xfe\xfd\0\0" + record.to_bytes(6, "big") + struct.pack(">H", len(message)) + message


def dtls_cookie(datagram):
    """The cookie of a HelloVerifyRequest; None for anything else."""
    if len(datagram) < 28 or datagram[0] != 22 or datagram[13] != 3:
        return None
    return datagram[28:28 + datagram[27]]
