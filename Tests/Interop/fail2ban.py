#!/usr/bin/python3
"""Runs fail2ban-regex with deploy/fail2ban on the server's real log lines: failed logins over TCP, in both log
formats, over IPv4 and IPv6, with names that imitate log fields.

Exit status: the number of failed cases.
"""

import hashlib
import hmac
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

import isolation
import server
from report import Failure, Report

FILTER = f"{server.REPOSITORY}/deploy/fail2ban/filter.d/turnpike.conf"
USER = ("alice", "secret")
# Names, passwords and whether the login fails: at most as many failures as are logged for an address in ten seconds.
LOGINS = [("alice", "wrong", True), ("mallory", "wrong", True), ("alice", "secret", False),
          ('x client=[::1]:1 reason=expired', "wrong", True), ('"\\" info auth-failed user=x client=192.0.2.99:1', "wrong", True)]
FORGED = "192.0.2.99"


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report = Report("fail2ban")
    if not shutil.which("fail2ban-regex") or arguments.server == "coturn":
        report.skip("everything", "fail2ban is not installed, or the server is not the one that the filter is for")
        return report.finish()
    isolation.enter(required=False)
    for log_format in ("text", "json"):
        for host in ("127.0.0.1", "::1"):
            report.run(f"{log_format}, {host}", lambda f=log_format, h=host: failed_logins(arguments, f, h))
    return report.finish()


def failed_logins(arguments, log_format, host):
    """The filter finds each failed login with the client's address, and no other line."""
    options = server.Options(hosts=[host], users=dict([USER]), settings={"log.format": log_format})
    with server.Server(arguments, options) as running:
        for name, password, fails in LOGINS:
            code = login(host, options.port, name, password)
            if (code == 401) != fails:
                raise Failure(f"{name}: {code}")
        expected = sum(fails for _, _, fails in LOGINS)
        lines = wait_for(running, expected)
    found = matches(lines)
    if len(found) != expected or set(found) != {host}:
        raise Failure(f"{expected} failed logins from {host}, found {found}:\n" + "\n".join(lines))
    # The same lines in the journal's form.
    prefixed = matches([f"host turnpike[12]: {line}" for line in lines])
    if prefixed != found:
        raise Failure(f"with the journal's prefix: {prefixed}")
    return {"lines": len(lines), "found": len(found)}


def login(host, port, name, password):
    """Sends one signed Allocate over TCP, after the challenge; returns the error code, None for success."""
    with socket.create_connection((host, port), timeout=10) as connection:
        challenge = ask(connection, attribute(0x19, bytes([17, 0, 0, 0])))
        realm, nonce = challenge[0x14], challenge[0x15]
        signed = (attribute(0x19, bytes([17, 0, 0, 0])) + attribute(0x06, name.encode()) + attribute(0x14, realm)
                  + attribute(0x15, nonce))
        key = hashlib.md5(f"{name}:{realm.decode()}:{password}".encode()).digest()
        answer = ask(connection, signed, key)
    return answer[0x09][2] * 100 + answer[0x09][3] if 0x09 in answer else None


def ask(connection, attributes, key=None):
    """Sends an Allocate, with integrity if there is a key, and returns the attributes of the answer."""
    head = struct.pack(">HHI12s", 3, len(attributes) + (24 if key else 0), 0x2112A442, os.urandom(12))
    message = head + attributes
    if key:
        message += attribute(0x08, hmac.new(key, message, hashlib.sha1).digest())
    connection.sendall(message)
    answer = read(connection, 20)
    answer += read(connection, struct.unpack(">H", answer[2:4])[0])
    found, offset = {}, 20
    while offset < len(answer):
        kind, length = struct.unpack(">HH", answer[offset:offset + 4])
        found[kind] = answer[offset + 4:offset + 4 + length]
        offset += 4 + (length + 3) // 4 * 4
    return found


def read(connection, count):
    """Reads exactly this number of bytes."""
    result = b""
    while len(result) < count:
        piece = connection.recv(count - len(result))
        if not piece:
            raise Failure("the server closed the connection")
        result += piece
    return result


def attribute(kind, value):
    """Returns an attribute with its padding."""
    return struct.pack(">HH", kind, len(value)) + value + bytes(-len(value) % 4)


def wait_for(running, count):
    """Waits until the server's log has this number of failed logins, and returns the log."""
    end = time.monotonic() + 10
    while True:
        with open(running.log, encoding="utf-8") as log:
            lines = log.read().splitlines()
        if sum("auth-failed" in line for line in lines) >= count or time.monotonic() > end:
            return lines
        time.sleep(0.05)


def matches(lines):
    """Returns the addresses that the filter finds, in order."""
    with tempfile.NamedTemporaryFile("w", suffix=".log", encoding="utf-8") as log:
        log.write("".join(f"{line}\n" for line in lines))
        log.flush()
        result = subprocess.run(["fail2ban-regex", "-o", "ip", log.name, FILTER], capture_output=True, text=True,
                                check=False)
    found = result.stdout.split()
    if FORGED in found:
        raise Failure("a forged address was found")
    return found


if __name__ == "__main__":
    sys.exit(main())
