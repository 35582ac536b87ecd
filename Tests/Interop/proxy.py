#!/usr/bin/python3
"""HAProxy in front of the server: `send-proxy-v2` over TCP and TLS, with coturn's turnutils_uclient as the client.

Every message must come back, several clients at once; the server must know each client's own address; and a stranger's
connection and version 1 of the protocol must be refused. Exit status: the number of failed cases.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import isolation
import processes
import server
import uclient
from certificates import Authority
from report import Failure, Report

USER = ("alice", "correct horse")
CREDENTIALS = ["-u", USER[0], "-w", USER[1]]
PROXY = "127.0.0.9"  # the source address of the proxy's connections to the server
PLAIN, SECURE, TEXT = 24478, 24479, 24480  # the proxy's ports
LISTENERS = "tcp://127.0.0.1:23478?proxy-protocol=v2,tls://127.0.0.1:23479?proxy-protocol=v2,udp://127.0.0.1:23478"

# The checks of the proxy connect with LOCAL headers.
CONFIGURATION = f"""
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen plain
  bind 127.0.0.1:{PLAIN}
  server turn 127.0.0.1:23478 source {PROXY} send-proxy-v2 check check-send-proxy inter 300ms
listen secure
  bind 127.0.0.1:{SECURE}
  server turn 127.0.0.1:23479 source {PROXY} send-proxy-v2 proxy-v2-options unique-id,crc32c
listen text
  bind 127.0.0.1:{TEXT}
  server turn 127.0.0.1:23478 source {PROXY} send-proxy
"""


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report = Report("proxy")
    if not shutil.which("haproxy") or not shutil.which("turnutils_uclient") or arguments.server == "coturn":
        report.skip("everything", "haproxy or coturn's tools are not installed, or the server is coturn")
        return report.finish()
    isolation.enter(required=False)
    with tempfile.TemporaryDirectory(prefix="turnpike-interop-proxy-") as directory:
        options = server.Options(
            port=23478, tls_port=23479, users=dict([USER]), certificate=Authority(directory), allow_peers=["127.0.0.0/8"],
            settings={"listeners": LISTENERS, "proxy-protocol.trusted": PROXY, "log.level": "debug", "log.privacy": "full"})
        with server.Server(arguments, options) as running, uclient.peers(directory), Proxy(directory):
            cases(report, running)
    return report.finish()


def cases(report, running):
    """Runs the cases; the relay's cases run in parallel."""
    suite = uclient.Suite(running.options)
    suite.port, suite.tls_port = PLAIN, SECURE
    runs = [(f"uclient, {transport}, {method}, from {source}",
             lambda o=CREDENTIALS + flags + how + ["-L", source]: suite.relay("127.0.0.1", "127.0.0.1", o, "-S" in o))
            for number, (transport, flags) in enumerate((("tcp", ["-t"]), ("tls", ["-t", "-S"])))
            for index, (method, how) in enumerate((("channels", []), ("send indications", ["-s"])))
            for source in [f"127.0.0.{21 + 2 * number + index}"]]
    with concurrent.futures.ThreadPoolExecutor(len(runs)) as pool:
        pending = [(name, pool.submit(function)) for name, function in runs]
        for name, future in pending:
            report.run(name, future.result)
    report.run("the server knows the clients' addresses", lambda: check_clients(running))
    report.run("the proxy's own checks are not refused", lambda: refused(running, 0))
    report.run("a connection that is not the proxy's is closed", lambda: check_stranger(running))
    report.run("version 1 is refused, with a reason", lambda: check_version1(running))


class Proxy(processes.Owned):
    """A running HAProxy."""

    def __init__(self, directory):
        super().__init__("proxy", "haproxy-log.txt")
        file = os.path.join(directory, "haproxy.cfg")
        pathlib.Path(file).write_text(CONFIGURATION, encoding="ascii")
        self.begin(lambda: self._start(["haproxy", "-db", "-f", file]))

    def _start(self, command):
        self.process = processes.start(command, self.log, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for port in (PLAIN, SECURE):
            self._wait_for(port)

    def _wait_for(self, port):
        """Waits until the proxy accepts connections."""
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise Failure(f"haproxy did not start: {processes.tail(self.log)}") from None
                time.sleep(0.05)


def check_clients(running):
    """Each client's allocations are logged with its own address, and none with the proxy's."""
    text = processes.text(running.log)
    found = set(re.findall(r"allocation-opened .*? client=(127\.0\.0\.\d+):\d+ ", text))
    expected = {f"127.0.0.{number}" for number in range(21, 25)}
    if found != expected:
        raise Failure(f"clients {sorted(found)}, expected {sorted(expected)}")
    return {"clients": len(found)}


def refused(running, count):
    """Checks the number of refused connections in the log."""
    lines = [line for line in processes.text(running.log).splitlines() if "proxy-refused" in line]
    if len(lines) != count:
        raise Failure(f"{len(lines)} refusals, expected {count}: {lines}")


def check_stranger(running):
    """A connection from another address ends without an answer."""
    with socket.create_connection(("127.0.0.1", 23478), 5, source_address=("127.0.0.30", 0)) as stranger:
        stranger.settimeout(5)
        stranger.sendall(bytes.fromhex("000100002112a442") + bytes(12))
        ended(stranger)
    logged(running, r'proxy-refused address=127\.0\.0\.30 reason="not in proxy-protocol.trusted"')


def check_version1(running):
    """HAProxy's `send-proxy` sends version 1, which is text; the server refuses it."""
    with socket.create_connection(("127.0.0.1", TEXT), 5) as client:
        client.settimeout(5)
        client.sendall(bytes.fromhex("000100002112a442") + bytes(12))
        ended(client)
    logged(running, r"proxy-refused address=127\.0\.0\.9 reason=.*version 1")


def logged(running, pattern):
    """Waits for a line of the log."""
    if not processes.wait_for_line(running.log, pattern, running.process, 3):
        raise Failure(f"no line in the log: {running.explain()}")


def ended(connection):
    """Waits for the end of a connection on which nothing may arrive."""
    try:
        received = connection.recv(1000)
    except ConnectionResetError:
        return
    if received:
        raise Failure(f"{len(received)} bytes arrived")


if __name__ == "__main__":
    sys.exit(main())
