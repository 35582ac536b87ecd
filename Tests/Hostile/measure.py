"""The server under attack, its media load, and measurements from /proc."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import client

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "Interop"))

import processes  # noqa: E402
from report import Failure  # noqa: E402

SERVER_CORE, LOAD_CORE = "0", "1"
PORT = 21478
ADMIN_PORT = 21488
WEB_PORT = 21498
CREDENTIALS = {"TURNLOAD_USERNAME": "load", "TURNLOAD_PASSWORD": "benchmark",
               "STUNCLIENT_USERNAME": "load", "STUNCLIENT_PASSWORD": "benchmark"}


def before_others(core):
    """The prefix of a command that pins it to a core and raises its priority if that is allowed."""
    words = ["taskset", "-c", core]
    return (["nice", "-n", "-10"] if os.geteuid() == 0 else []) + words


def listeners(proxied=False):
    """The server's listeners; optionally TLS is behind a proxy."""
    secure = f"{PORT + 1}?proxy-protocol=v2" if proxied else PORT + 1
    return f"udp://127.0.0.1:{PORT},tcp://127.0.0.1:{PORT},tls://127.0.0.1:{secure},dtls://127.0.0.1:{PORT + 1}"


@contextlib.contextmanager
def silent_web_server(wanted):
    """A listener for the webhook and the hook, if wanted: the kernel accepts connections, and nothing is answered."""
    if not wanted:
        yield
        return
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", WEB_PORT))
        listener.listen(1024)
        yield


class Server(processes.Owned):
    """A server with one shard on one core."""

    def __init__(self, programs, engine, row, certificate):
        super().__init__("hostile", "log.txt")
        self.programs, self.target = programs, ("127.0.0.1", PORT)
        settings = {
            "engine": engine, "workers": "1", "state-directory": f"{self.directory}/state", "relay.addresses": "127.0.0.1",
            "listeners": listeners(),
            "auth.users": "load=benchmark,mallory=valid", "auth.secrets": ",".join(f"secret-{n}" for n in range(row.secrets)),
            "peers.allow": "127.0.0.0/8", "log.level": "warning", "drain-timeout": "0s", "admin.listen": "",
            "tls.certificate": certificate[0], "tls.private-key": certificate[1], **row.settings}
        if not row.secrets:
            del settings["auth.secrets"]
        command = before_others(SERVER_CORE)
        if row.descriptors:
            command += ["prlimit", f"--nofile={row.descriptors}:{row.descriptors}"]
        command += [programs["turnpike"]] + [word for item in settings.items() for word in ("--set", "=".join(item))]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TURNPIKE_")}
        self.begin(lambda: self._start(command, environment))

    def _start(self, command, environment):
        self.process = processes.start(command, self.log, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)
        end = time.monotonic() + 15
        while not client.new_call(self.target, "127.69.0.1"):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failure(f"the server did not start: {processes.tail(self.log)}")

    def alive(self):
        """Whether the server still runs."""
        return self.process.poll() is None

    def rss(self):
        """Resident memory in MiB."""
        for line in processes.text(f"/proc/{self.process.pid}/status").splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0

    def descriptors(self):
        """The number of open descriptors."""
        try:
            return len(os.listdir(f"/proc/{self.process.pid}/fd"))
        except FileNotFoundError:
            return 0


class Media:
    """Echoes through 200 relays; `finish` returns loss, p50 and p99."""

    def __init__(self, server, seconds, allocations=200):
        before = server.descriptors()
        self.process = subprocess.Popen(
            before_others(LOAD_CORE) + [server.programs["turnload"], "relay", "--direction", "echo", "--allocations", str(allocations),
                                        "--rate", "5000", "--duration", str(seconds), "--json", "--max-loss", "100",
                                        f"turn:127.0.0.1:{PORT}"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **CREDENTIALS})
        end = time.monotonic() + 15
        while server.descriptors() < before + allocations and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)

    def running(self):
        """Whether the load is still running."""
        return self.process.poll() is None

    def finish(self):
        """Waits for the end and returns the measurements."""
        text, _ = self.process.communicate(timeout=60)
        result = json.loads(text)
        if result["failure"]:
            raise Failure(f"turnload: {result['failure']} {result['likely_cause']}")
        latency = result["latency_us"] or {"p50": 0, "p99": 0}
        return {"loss": round(100 * result["lost"] / max(1, result["sent"]), 3), "p50": latency["p50"], "p99": latency["p99"]}


class Watch:
    """Samples the server's memory and descriptors 20 times a second."""

    def __init__(self, server):
        self.server, self.peak, self.descriptors, self.over = server, 0, 0, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        """The thread's body."""
        while not self.over:
            self.peak = max(self.peak, self.server.rss())
            self.descriptors = max(self.descriptors, self.server.descriptors())
            time.sleep(0.05)

    def stop(self):
        """Ends the thread."""
        self.over = True
        self.thread.join()


class Calls:
    """New calls of another user, one after another, while the attack lasts."""

    def __init__(self, server, kind, tries, seconds):
        self.server, self.kind, self.tries, self.interval = server, kind, tries, seconds / tries
        self.done = self.good = 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        """The thread's body."""
        start = time.monotonic()
        while self.done < self.tries:
            time.sleep(max(0, start + self.done * self.interval - time.monotonic()))
            self.good += self.call()
            self.done += 1

    def call(self):
        """Makes one call; true if it succeeds in two seconds."""
        if self.kind == "udp":
            return client.new_call(self.server.target, f"127.70.0.{1 + self.done}")
        if self.kind == "victim":
            return client.new_call(self.server.target, "127.68.0.1")
        path = "tcp" if self.kind == "tls" else "udp"
        local = "127.68.0.1" if self.kind == "victim-dtls" else f"127.70.0.{1 + self.done}"
        # With turnload's priority stunclient would alternate with the media on that core, for milliseconds each.
        command = ["taskset", "-c", LOAD_CORE, "nice", "-n", "5"] + [
            self.server.programs["stunclient"], "relay", "--insecure", "--timeout", "2", "--localaddr", local,
            f"turns:127.0.0.1:{PORT + 1}?transport={path}"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=4, check=False, env={**os.environ, **CREDENTIALS})
        except subprocess.TimeoutExpired:
            return False
        return done.returncode in (0, 1)

    def join(self):
        """Waits for the last call."""
        self.thread.join()
        return f"{self.good}/{self.done}"


def certificate(directory, kind):
    """A self-signed certificate and its key, made once."""
    chain, secret = os.path.join(directory, f"{kind}.pem"), os.path.join(directory, f"{kind}.key")
    if not os.path.exists(chain):
        algorithm = (["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if kind == "p-256"
                     else ["-newkey", kind.replace("-", ":")])
        subprocess.run(["openssl", "req", "-x509", *algorithm, "-nodes", "-keyout", secret, "-out", chain, "-days", "2",
                        "-subj", "/CN=localhost"], check=True, capture_output=True)
    return chain, secret


def scratch():
    """A folder for certificates; the caller removes it."""
    directory = tempfile.mkdtemp(prefix="turnpike-hostile-")
    return directory, lambda: shutil.rmtree(directory, ignore_errors=True)
