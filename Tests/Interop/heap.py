#!/usr/bin/env python3
"""Counts heap allocations for each relayed packet, in the release program under turnload: there must be none."""

import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

import processes
import server
from report import Failure, Report

PORT = 20478
CASES = [
    ("channels to peers", "udp", []),
    ("channels to clients", "udp", ["--direction", "to-client"]),
    ("indications to peers", "udp", ["--indications"]),
    ("indications to clients", "udp", ["--indications", "--direction", "to-client"]),
    ("runs to peers", "udp", ["--burst", "16", "--gso", "--gro", "--size", "1000"]),
    ("runs to clients", "udp", ["--burst", "16", "--gso", "--gro", "--size", "1000", "--direction", "to-client"]),
    ("TCP to peers", "tcp", []),
    ("TCP to clients", "tcp", ["--direction", "to-client"]),
    ("TLS to peers", "tls", []),
    ("TLS to clients", "tls", ["--direction", "to-client"]),
]
# Limits of bandwidth; the traffic is always above the server's limit.
LIMITS = ["limits.bandwidth=8M", "limits.bandwidth-per-user=16M", "limits.bandwidth-per-allocation=8M"]
LIMITED_CASES = [CASES[0], CASES[1], CASES[4], CASES[6]]


def main():
    report = Report("heap")
    path = os.path.abspath(os.environ.get("TURNPIKE_PROGRAM") or os.path.join(server.REPOSITORY, ".build/release/turnpike"))
    if not os.access(path, os.X_OK):
        report.skip("all", "only an optimised build relays without heap allocations: swift build -c release")
        return report.finish()
    load = os.path.join(os.path.dirname(path), "turnload")
    if not os.access(load, os.X_OK):
        subprocess.run(["swift", "build", "-c", "release", "--product", "turnload"], cwd=server.REPOSITORY, check=True,
                       stdout=sys.stderr)
        load = os.path.join(server.REPOSITORY, ".build/release/turnload")
    compiler = shutil.which("clang") or shutil.which("cc")
    with tempfile.TemporaryDirectory(prefix="turnpike-heap-") as directory:
        library = f"{directory}/heap_counter.so"
        source = pathlib.Path(__file__).with_name("heap_counter.c")
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, str(source), "-ldl"], check=True)
        for engine in ("epoll", "io-uring"):
            try:
                running = Counted(path, library, directory, engine, [])
            except Failure as failure:
                if engine == "io-uring" and "io-uring` is refused" in str(failure):
                    report.skip(engine, "the kernel refuses io_uring here")
                    continue
                raise
            with running:
                for name, transport, options in CASES:
                    report.run(f"{engine}: {name}", lambda: measure(running, load, transport, options))
            with Counted(path, library, directory, engine, LIMITS) as running:
                for name, transport, options in LIMITED_CASES:
                    report.run(f"{engine}: {name}, limited", lambda: measure(running, load, transport, options))
    return report.finish()


class Counted:
    """A server with the counting allocator."""

    def __init__(self, path, library, directory, engine, limits):
        self.file = f"{directory}/{engine}.{len(limits)}.counts"
        self.log = f"{directory}/{engine}.txt"
        settings = [
            f"engine={engine}", "workers=1", f"state-directory={directory}/{engine}", "relay.addresses=127.0.0.1",
            f"listeners=udp://127.0.0.1:{PORT},tcp://127.0.0.1:{PORT},tls://127.0.0.1:{PORT + 1}", "auth.users=load=benchmark",
            "auth.store=", "peers.allow=127.0.0.0/8", "limits.unauthenticated-per-address=0", "limits.unauthenticated=0", "log.level=warning",
            "drain-timeout=0s", *limits,
        ]
        command = [path] + [word for setting in settings for word in ("--set", setting)]
        environment = dict(os.environ, LD_PRELOAD=library, HEAP_COUNTER_FILE=self.file)
        self.process = processes.start(command, self.log, stdin=subprocess.DEVNULL, env=environment)
        deadline = time.monotonic() + 10
        while "shard-0" not in self.counts() or not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"the server did not start\n{processes.tail(self.log)}")
            time.sleep(0.05)

    def answers(self):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(("127.0.0.1", PORT + 1)) == 0

    def counts(self):
        """Returns the blocks that each thread has allocated, except OpenSSL's."""
        try:
            with open(self.file, "rb") as file:
                data = file.read()
        except OSError:
            return {}
        found = {}
        for offset in range(0, len(data) - 31, 32):
            name, own, _ = struct.unpack_from("16sQQ", data, offset)
            if own:
                found[name.split(b"\0")[0].decode()] = own
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def measure(running, load, transport, options):
    """Counts the blocks of the shard's thread during a second of traffic."""
    port = PORT + 1 if transport == "tls" else PORT
    # With the counting allocator 20 TLS handshakes take two seconds or more.
    setup, duration = (5, "6") if transport == "tls" else (0, "2")
    command = [load, "relay", "--allocations", "20", "--duration", duration, "--insecure", "--json", "--max-loss", "100", "--transport", transport,
               *options, f"turn:127.0.0.1:{port}"]
    environment = dict(os.environ, TURNLOAD_USERNAME="load", TURNLOAD_PASSWORD="benchmark")
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    # UDP_GRO is on by now and pools are filled. A queue may still grow once, but an allocation for each packet would
    # show in every interval.
    time.sleep(setup + 0.9)
    counts = [running.counts()["shard-0"]]
    for _ in range(4):
        time.sleep(0.2)
        counts.append(running.counts()["shard-0"])
    blocks = min(after - before for before, after in zip(counts, counts[1:]))
    output, _ = process.communicate(timeout=60)
    result = json.loads(output)
    if result.get("failure"):
        raise Failure(result["failure"])
    rate = result["per_second"]
    figures = {"blocks": blocks, "packets": int(rate / 5)}
    if rate < 1000:
        raise Failure(f"only {rate} packets a second")
    if blocks:
        failure = Failure(f"{blocks} blocks for about {int(rate / 5)} packets")
        failure.figures = figures
        raise failure
    return figures


if __name__ == "__main__":
    sys.exit(main())
