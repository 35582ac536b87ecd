"""Starts, pins to a core and stops the compared servers."""

import os
import shutil
import signal
import socket
import subprocess
import time

USER, PASSWORD, REALM = "load", "benchmark", "turnpike"
ADDRESS = "127.0.0.1"
PORTS = {"turnpike": (25478, 25349), "coturn": (25578, 25449), "against": (25678, 25549)}


def ports(name):
    return PORTS[name] if name in PORTS else PORTS["against"]


def make_certificate(directory):
    """Makes a P-256 certificate for both servers, so that both have the same handshake."""
    certificate, key = os.path.join(directory, "cert.pem"), os.path.join(directory, "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return certificate, key


class Server:
    """One process of one server."""

    def __init__(self, name, program, directory, core, address=ADDRESS, engine=None, enter=(), workers=1, observed=False):
        self.name, self.core, self.address, self.workers, self.observed = name, core, address, workers, observed
        self.port, self.tls_port = ports(name)
        self.directory = directory
        command = self._coturn(program) if name == "coturn" else self._turnpike(program, engine)
        self.log = open(os.path.join(directory, name + ".log"), "ab")
        self.process = subprocess.Popen(
            list(enter) + ["taskset", "-c", core if isinstance(core, str) else str(core)] + command, stdout=self.log, stderr=self.log, cwd=directory)
        self._wait()

    def _turnpike(self, program, engine):
        path = os.path.join(self.directory, self.name + ".yml")
        lines = [
            "realm: " + REALM, f"workers: {self.workers}",
            f"listeners: [udp://{self.address}:{self.port}, tcp://{self.address}:{self.port}, "
            f"tls://{self.address}:{self.tls_port}]",
            "tls: { certificate: cert.pem, private-key: key.pem }",
            f"relay: {{ addresses: [{self.address}], ports: 49152-65535 }}",
            f"auth: {{ users: {{ {USER}: {PASSWORD} }}, store: \"\" }}",
            "peers: { allow: [127.0.0.0/8, 10.0.0.0/8] }",
            "limits: { unauthenticated-per-address: 0, unauthenticated: 0, allocations: 0, allocations-per-user: 0, "
            "allocations-per-address: 0, new-peers-per-user: 0, connects-per-user: 0 }",
            f"admin: {{ listen: \"{self.admin if self.observed else ''}\" }}",
            f"log: {{ level: {'info' if self.observed else 'warning'} }}",
            f"state-directory: {self.directory}/{self.name}-state",
        ]
        if engine:
            lines.append("engine: " + engine)
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")
        return [program, "serve", "--config", path]

    def _coturn(self, program):
        """Returns coturn's cheapest flags: one relay thread, no log, no CLI, no dynamic features, short answers."""
        return [
            program, "-n", "-L", self.address, "-E", self.address, "-p", str(self.port),
            "--tls-listening-port", str(self.tls_port), "-m", "1", "--lt-cred-mech", "-u", f"{USER}:{PASSWORD}",
            "-r", REALM, "--min-port", "49152", "--max-port", "65535", "--allow-loopback-peers", "--no-cli",
            "--no-auth-pings", "--no-dynamic-ip-list", "--no-dynamic-realms", "--no-software-attribute",
            "--no-rfc5780", "--no-stun-backward-compatibility", "--response-origin-only-with-rfc5780", "--no-dtls",
            "--no-tlsv1", "--no-tlsv1_1", "--cert", "cert.pem", "--pkey", "key.pem", "--no-stdout-log",
            "--log-file", "/dev/null", "--simple-log", "--userdb", os.path.join(self.directory, "turndb"),
            "--pidfile", os.path.join(self.directory, "coturn.pid"),
        ]

    @property
    def admin(self):
        """The address of the admin endpoint of a server that is observed."""
        return f"127.0.0.1:{self.port + 2}"

    @property
    def pid(self):
        # taskset (and ip netns exec) exec the server, so the process is the server's.
        return self.process.pid

    def _wait(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: see {self.log.name}")
            try:
                for port in (self.port, self.tls_port):
                    socket.create_connection((self.address, port), 0.2).close()
                time.sleep(0.2)
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not listen")

    def stop(self):
        # The second signal ends a drain at once.
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                break
            self.process.send_signal(number)
            try:
                self.process.wait(1)
            except subprocess.TimeoutExpired:
                pass
        self.process.wait()
        self.log.close()


def coturn_program():
    return shutil.which("turnserver")
