#!/usr/bin/python3
"""turnserver.conf files with the lines that other projects' documents print, imported and run: coturn's own client relays.

coturn's example as Debian has it, and the lines of Matrix Synapse, Nextcloud Talk, Jitsi Meet and BigBlueButton, with
names, secrets and paths of this test. Each file is translated by `turnpike import coturn` and served, and served by
`turnpike serve --coturn`; then `turnutils_uclient` relays between two of its clients over each plain transport of the
file, and `stunclient` over TLS. Exit status: the number of failed cases.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import isolation
import processes
import server
import uclient
from certificates import Authority
from report import Failure, Report

SECRET = "n0rth-wind"
ADDRESS = "203.0.113.10"
EXAMPLES = ["/usr/share/doc/coturn/examples/etc/turnserver.conf", "/etc/turnserver.conf"]

PRIVATE = ["10.0.0.0-10.255.255.255", "172.16.0.0-172.31.255.255", "192.168.0.0-192.168.255.255"]
SPECIAL = ["100.64.0.0-100.127.255.255", "169.254.0.0-169.254.255.255", "192.0.0.0-192.0.0.255",
           "192.0.2.0-192.0.2.255", "198.18.0.0-198.19.255.255", "198.51.100.0-198.51.100.255",
           "203.0.113.0-203.0.113.255", "64:ff9b::-64:ff9b::ffff:ffff",
           "2001::-2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::-2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
           "fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]


def denied(*ranges):
    """Lines of denied peers."""
    return [f"denied-peer-ip={one}" for one in ranges]


# For each project its lines, the plain port with its transports, and the TLS port (None: no TLS).
FILES = {
    "Matrix Synapse": (
        ["use-auth-secret", f"static-auth-secret={SECRET}", "realm=turn.myserver.org", "syslog", "no-tcp-relay"]
        + denied(*PRIVATE) + ["no-multicast-peers"]
        + denied("0.0.0.0-0.255.255.255", "127.0.0.0-127.255.255.255", "192.88.99.0-192.88.99.255",
                 "240.0.0.0-255.255.255.255", "::1", "::ffff:0.0.0.0-::ffff:255.255.255.255",
                 "100::-100::ffff:ffff:ffff:ffff", *SPECIAL)
        + ["allowed-peer-ip=10.0.0.1", "user-quota=12 # three calls with four streams each", "total-quota=1200",
           "cert=FOLDER/server.pem", "pkey=FOLDER/server.key", "#no-tls", "#no-dtls", "external-ip=203.0.113.7",
           "listening-ip=ADDRESS"],
        3478, ["udp", "tcp"], 5349),
    "Nextcloud Talk": (
        ["listening-port=3479", "fingerprint", "lt-cred-mech # old versions", "use-auth-secret",
         f"static-auth-secret={SECRET}", "realm=your.domain.org", "total-quota=0", "bps-capacity=0", "stale-nonce",
         "no-loopback-peers # old versions", "no-multicast-peers", "no-stdout-log", "log-file=/tmp/turn.log", "syslog",
         "simple-log"],
        3479, ["udp", "tcp"], None),
    "Jitsi Meet": (
        ["lt-cred-mech", "use-auth-secret", "keep-address-family", f"static-auth-secret={SECRET}",
         "realm=jitsi-meet.example.com", "cert=FOLDER/server.pem", "pkey=FOLDER/server.key", "", "no-tcp",
         "listening-port=443", "tls-listening-port=4445", "external-ip=203.0.113.7"],
        443, ["udp"], 4445),
    "BigBlueButton": (
        ["listening-port=3478", "tls-listening-port=443", "", "listening-ip=ADDRESS", "relay-ip=ADDRESS", "",
         "#external-ip=172.17.19.120", "min-port=32769", "max-port=65535", "verbose", "", "fingerprint", "lt-cred-mech",
         "use-auth-secret", f"static-auth-secret={SECRET}", "realm=example.com", "", "cert=FOLDER/server.pem",
         "pkey=FOLDER/server.key",
         'cipher-list="ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384"',
         "dh-file=FOLDER/dhp.pem", "", "keep-address-family", "no-cli", "no-tlsv1", "no-tlsv1_1", "",
         "no-loopback-peers", "no-multicast-peers", "#denied-peer-ip=::1"]
        + denied(*PRIVATE, *SPECIAL, "::ffff:0:0-::ffff:ffff:ffff", "64:ff9b:1::-64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
                 "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        3478, ["udp", "tcp"], 443),
}


def main():
    """Runs the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    server.add_arguments(parser)
    arguments = parser.parse_args()
    report = Report("coturn_files")
    if arguments.server != "turnpike" or not shutil.which("turnutils_uclient"):
        report.skip("everything", "coturn's tools are not installed, or coturn itself is the server")
        return report.finish()
    if not isolation.enter(required=True):
        report.skip("everything", "no private namespaces: the files' own ports may be taken; NOTHING WAS TESTED")
        return report.finish()
    subprocess.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    with tempfile.TemporaryDirectory(prefix="turnpike-interop-coturn-files-") as folder:
        Authority(folder)
        for name, (lines, port, transports, tls_port) in FILES.items():
            text = "\n".join(lines).replace("FOLDER", folder).replace("ADDRESS", ADDRESS) + "\n"
            file = pathlib.Path(folder, "turnserver.conf")
            file.write_text(text, encoding="ascii")
            for way in ("imported", "served as it is"):
                run(arguments, report, f"{name}, {way}", way, file, (port, transports, tls_port))
        example = next((place for place in EXAMPLES if os.path.exists(place)), None)
        if example is None:
            report.skip("coturn's example", "it is not installed")
        else:
            for way in ("imported", "served as it is"):
                run(arguments, report, f"coturn's example, {way}", way, example, (3478, ["udp", "tcp"], 5349))
    return report.finish()


def run(arguments, report, name, way, file, ports):
    """Starts a server with a file and relays through it."""
    port, transports, tls_port = ports
    try:
        running = Running(arguments, way, file)
    except Failure as failure:
        text = str(failure)
        report.run(f"{name}: the server starts", lambda: fail(text))
        return
    with running, concurrent.futures.ThreadPoolExecutor() as pool:
        suite = uclient.Suite(server.Options(port=port, tls_port=tls_port or 0))
        cases = []
        for transport in transports:
            options = running.credentials + ["-y"] + uclient.TRANSPORTS[transport]
            cases.append((f"uclient from client to client over {transport}",
                          pool.submit(suite.relay, ADDRESS, None, options)))
        if tls_port:
            cases.append(("stunclient over tls", pool.submit(over_tls, arguments, running, tls_port)))
        for case, pending in cases:
            report.run(f"{name}, {case}", pending.result)
        report.run(f"{name}, every line is known", lambda: {"remarks": running.remarks()})


class Running(processes.Owned):
    """A server with a turnserver.conf. `credentials` are options of turnutils_uclient."""

    def __init__(self, arguments, way, file):
        super().__init__("coturn-file", "server-log.txt")
        self.user = None
        self.credentials = ["-u", "carol", "-W", SECRET]
        self.begin(lambda: self._start(server.program(arguments), way, file))

    def _start(self, program, way, file):
        if way == "imported":
            made = subprocess.run([program, "import", "coturn", str(file)], capture_output=True, text=True, check=False)
            pathlib.Path(self.log).write_text(made.stderr, encoding="utf-8")
            if made.returncode:
                raise Failure(f"import: status {made.returncode}: {made.stderr[-500:]}")
            configuration = os.path.join(self.directory, "turnpike.yml")
            pathlib.Path(configuration).write_text(made.stdout, encoding="utf-8")
            words = ["serve", "--config", configuration]
        else:
            words = ["serve", "--coturn", str(file)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TURNPIKE_")}
        output = os.path.join(self.directory, "output")
        with open(output, "wb") as sink:
            self.process = processes.start(
                [program, *words, "--set", f"state-directory={self.directory}/state", "--set", "admin.listen="],
                self.log, stdin=subprocess.DEVNULL, stdout=sink, env=environment)
        if not processes.wait_for_line(self.log, r"\bready\b", self.process, 20):
            raise Failure(f"the server did not get ready:\n{processes.tail(self.log)}")
        # If the file has no users and secrets, the server makes a user.
        line = None
        if "first-user" in os.listdir(f"{self.directory}/state"):
            line = processes.wait_for_line(output, r'^\{"iceServers":.*\}$', self.process, 3)
        if line:
            made = json.loads(line.group(0))["iceServers"][0]
            self.user = (made["username"], made["credential"])
            self.credentials = ["-u", self.user[0], "-w", self.user[1]]

    def remarks(self):
        """The options for which the log reports another meaning than coturn's."""
        found = set()
        for line in processes.text(self.log).splitlines():
            for option in ("keep-address-family", "denied-peer-ip"):
                if f"{option}: " in line:
                    found.add(option)
            if "coturn has no such option" in line:
                raise Failure(line)
        return sorted(found)


def over_tls(arguments, running, port):
    """Runs all steps of `stunclient relay` over TLS."""
    program = server.built("stunclient", os.path.join(os.path.dirname(server.program(arguments)), "stunclient"))
    if program is None:
        raise Failure("stunclient is not built")
    environment = {**os.environ, "STUNCLIENT_USERNAME": "carol", "STUNCLIENT_SECRET": SECRET}
    if running.user:
        environment.pop("STUNCLIENT_SECRET")
        environment.update(STUNCLIENT_USERNAME=running.user[0], STUNCLIENT_PASSWORD=running.user[1])
    result = subprocess.run([program, "relay", "--insecure", "--json", f"turns:{ADDRESS}:{port}"], capture_output=True,
                            text=True, check=False, timeout=uclient.SECONDS, env=environment)
    if result.returncode not in (0, 1):
        raise Failure(f"status {result.returncode}: {(result.stdout + result.stderr)[-600:]}")


def fail(text):
    """Raises a failure."""
    raise Failure(text)


if __name__ == "__main__":
    sys.exit(main())
