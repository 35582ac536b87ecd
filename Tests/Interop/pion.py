#!/usr/bin/python3
"""pion's TURN library for Go, on which other servers and clients are built: `stunclient` against a server built with
pion, and a client built with pion against the server under test.

Over UDP, TCP, TLS and DTLS. If pion departs from the RFC, the case describes it and the expected result. The two
programs (pion_server, pion_client) are built with Debian's Go, offline. Exit status: the number of failed cases.
"""

import argparse
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
from certificates import Authority
from report import Failure, Report

HERE = pathlib.Path(__file__).parent
CACHE = pathlib.Path(server.REPOSITORY) / ".build" / "interop-go"
LIBRARIES = pathlib.Path("/usr/share/gocode")  # the sources of Debian's packages
HOST = "127.0.0.1"
PORT, TLS_PORT = 23478, 23479  # pion's server
OWN_PORT, OWN_TLS_PORT = 24478, 24479  # ours
USER, PASSWORD = "alice", "correct horse"
DENIED = "127.0.0.5"  # a client for which pion's server permits no peer
SECONDS = 60
TRANSPORTS = ("udp", "tcp", "tls", "dtls")
MESSAGES = 50


def main():
    """Runs the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    server.add_arguments(parser)
    parser.add_argument("--stunclient", default=os.environ.get("STUNCLIENT_PROGRAM", ""), help="path of the program")
    arguments = parser.parse_args()
    report = Report("pion")
    program = server.built("stunclient", arguments.stunclient)
    lacking = [str(path.relative_to(LIBRARIES / "src")) for path in (
        LIBRARIES / "src/github.com/pion/turn/v2", LIBRARIES / "src/github.com/pion/dtls/v2") if not path.is_dir()]
    for missing, what in ((not program, "stunclient is not built"), (not shutil.which("go"), "Go is not installed"),
                          (lacking, f"{' and '.join(lacking)} not installed")):
        if missing:
            report.skip("everything", f"{what}; NOTHING WAS TESTED WITH PION")
            return report.finish()
    isolation.enter(required=False)
    with tempfile.TemporaryDirectory(prefix="turnpike-interop-pion-") as directory:
        authority = Authority(directory)
        if not report.run("pion's server and client are built", lambda: build(directory)):
            return report.finish()
        ask_pion(report, Probe(program, authority), authority, directory)
        asked_by_pion(report, arguments, authority, directory)
    return report.finish()


def build(directory):
    """Compiles both programs with Debian's packages, without downloads."""
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(LIBRARIES), "GOFLAGS": "", "CGO_ENABLED": "0",
                   "GOCACHE": str(CACHE), "GOTOOLCHAIN": "local"}
    for name in ("pion_server", "pion_client"):
        result = subprocess.run(["go", "build", "-o", f"{directory}/{name}", "."], cwd=HERE / name, env=environment,
                                capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise Failure(result.stderr.strip()[-800:])


# The probe against pion's server


def ask_pion(report, probe, authority, directory):
    """Starts pion's server and runs every check against it."""
    output = f"{directory}/server-output.txt"
    log = f"{directory}/server-log.txt"
    with open(output, "wb") as file:
        running = processes.start(
            [f"{directory}/pion_server", "-port", str(PORT), "-tls-port", str(TLS_PORT), "-cert", authority.chain,
             "-key", authority.key, "-user", USER, "-password", PASSWORD, "-deny", DENIED], log, stdout=file,
            stdin=subprocess.DEVNULL)
    try:
        if not processes.wait_for_line(output, "ready", running, 20):
            report.run("pion's server starts", lambda: _raise(Failure(processes.tail(log))))
            return
        for transport in TRANSPORTS:
            report.run(f"stunclient, Binding, {transport}", lambda t=transport: probe.binding(t))
            report.run(f"stunclient, relay, {transport}", lambda t=transport: probe.relay(t))
        for name, case in (("ping", probe.ping), ("a deployment of four URLs", probe.deployment),
                           ("the line for monitoring", probe.monitoring), ("no credentials", probe.no_credentials),
                           ("a wrong password", probe.wrong_password), ("another user", probe.another_user),
                           ("a peer that is denied", probe.denied_peer), ("an IPv6 relay", probe.other_family),
                           ("an authority that is not trusted", probe.untrusted), ("nat", probe.nat),
                           ("security", probe.security)):
            report.run(f"stunclient, {name}", case)
        report.run("pion's server still runs", lambda: None if running.poll() is None else _raise(
            Failure(processes.tail(log))))
    finally:
        processes.stop(running)


class Probe:
    """Runs stunclient, and checks its JSON and its exit status."""

    def __init__(self, program, authority):
        self.program = program
        self.authority = authority

    def ask(self, arguments, expected, user=USER, password=PASSWORD):
        """Runs stunclient and returns its output."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("STUNCLIENT_")}
        if user:
            environment |= {"STUNCLIENT_USERNAME": user, "STUNCLIENT_PASSWORD": password}
        result = subprocess.run([self.program, *arguments], capture_output=True, text=True, env=environment,
                                timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
        if result.returncode != expected:
            raise Failure(f"status {result.returncode} and not {expected}: {(result.stdout + result.stderr)[-800:]}")
        return result.stdout

    def document(self, arguments, expected=0, **credentials):
        """Runs stunclient and returns its JSON document, which must have the exit status too."""
        document = json.loads(self.ask(["--json", *arguments], expected, **credentials))
        _expect(document, {"exit_status": expected})
        return document

    def at(self, transport):
        """Returns the options for the server over a transport."""
        port = TLS_PORT if transport in ("tls", "dtls") else PORT
        return [f"--{transport}", "--ca", self.authority.root, f"{HOST}:{port}"]

    def binding(self, transport):
        """The mapped address is the local one."""
        found = self.document(["binding", *self.at(transport)])
        _expect(found, {"transport": transport, "status": "ok", "mapped": found["local"], "xor_mapped": True})
        return {"rtt_ms": found["rtt_ms"]["p50"]}

    def relay(self, transport):
        """Every relay step succeeds with credentials."""
        found = self.document(["relay", *self.at(transport)])
        _expect(found, {"transport": transport, "status": "ok", "realm": "pion.example", "lifetime": 600,
                        "mapped": found["local"]})
        names = [step["name"] for step in found["steps"] if step["ok"]]
        wanted = (["connect"] if transport in ("tcp", "tls") else []) + (
            ["tls"] if transport in ("tls", "dtls") else []) + [
            "allocate", "peer", "permission", "send-echo", "channel-bind", "channel-echo", "refresh", "delete"]
        if names != wanted or not found["relayed"][0].startswith(f"{HOST}:"):
            raise Failure(f"{names}, {found['relayed']}")
        return {"total_ms": found["total_ms"], "tls": found["tls"] and found["tls"]["version"]}

    def ping(self):
        """ping loses no packet on loopback."""
        series = self.document(["ping", "--count", "20", "--interval", "0.02", *self.at("udp")])["series"]
        _expect(series, {"sent": 20, "received": 20, "lost": 0, "duplicates": 0, "reordered": 0})
        return {"rtt_ms": series["rtt_ms"]["p50"]}

    def deployment(self):
        """Checks each URL of an iceServers document."""
        urls = [f"stun:{HOST}:{PORT}", f"turn:{HOST}:{PORT}?transport=udp", f"turn:{HOST}:{PORT}?transport=tcp",
                f"turns:{HOST}:{TLS_PORT}?transport=tcp"]
        path = os.path.join(os.path.dirname(self.authority.root), "ice.json")
        pathlib.Path(path).write_text(json.dumps({"iceServers": [
            {"urls": urls, "username": USER, "credential": PASSWORD}]}), encoding="utf-8")
        found = self.document(["--ice-servers", path, "--ca", self.authority.root], user=None)
        _expect(found, {"urls": 4, "good": 4})
        return {"commands": [entry["command"] for entry in found["servers"]]}

    def monitoring(self):
        """--check prints one line with performance data."""
        line = self.ask(["relay", "--check", *self.at("tcp")], 0)
        if not line.startswith("OK: relay TCP ") or "| echo=" not in line or line.count("\n") != 1:
            raise Failure(line)
        return {"line": line.strip()}

    def no_credentials(self):
        """pion sends a correct challenge."""
        return self.fails(["relay", *self.at("udp")], "credentials-needed", "pion.example", user=None)

    def wrong_password(self):
        """RFC 8489 section 9.2.4 requires 401; pion sends 400, and the reason reports it."""
        return self.fails(["relay", *self.at("udp")], "bad-request", "wrong username or password", password="wrong")

    def another_user(self):
        """An unknown user gets the same answer."""
        return self.fails(["relay", *self.at("tcp")], "bad-request", "wrong username or password", user="bob")

    def denied_peer(self):
        """pion's error response has no ERROR-CODE, against RFC 8489 section 6.3.4."""
        return self.fails(["relay", "--localaddr", DENIED, *self.at("udp")], "malformed", "without ERROR-CODE")

    def other_family(self):
        """pion ignores REQUESTED-ADDRESS-FAMILY, for which RFC 8489 section 6.3.1 requires 420."""
        return self.fails(["relay", "--relay-family", "6", *self.at("udp")], "malformed", "not requested")

    def untrusted(self):
        """Without --ca the certificate is refused."""
        return self.fails(["relay", "--tls", f"{HOST}:{TLS_PORT}"], "tls-untrusted", "")

    def nat(self):
        """There is no NAT; the rest is unknown, because pion has no second address."""
        found = self.document(["nat", *self.at("udp")])
        _expect(found, {"nat": False, "mapping": "direct", "filtering": None})
        return {"unknown": found["unknown"]}

    def security(self):
        """pion leaves peer rules to its user, so a plain server with it allows all peers. The check reports everything,
        also the cases after the missing IPv6 relay."""
        found = self.document(["security", *self.at("udp")], 2)
        if found["failure"]["reason"] != "let-through" or found["let_through"] < 15:
            raise Failure(json.dumps({key: found[key] for key in ("failure", "let_through", "refused", "unknown")}))
        verdicts = {}
        for finding in found["findings"]:
            verdicts.setdefault(finding["check"], set()).add(finding["verdict"])
        _expect(verdicts, {"anonymous": {"refused"}, "wrong-password": {"refused"}, "own-listener": {"let-through"},
                           "unsigned-refresh": {"refused"}, "behind-signature": {"refused"},
                           "amplification": {"refused"}, "padding": {"refused"}, "peer": {"let-through", "unknown"}})
        return {key: found[key] for key in ("refused", "let_through", "unknown", "not_applicable")}

    def fails(self, arguments, reason, words, **credentials):
        """Expects exit status 2, the reason, and words in the message or in the likely cause."""
        failure = self.document(arguments, 2, **credentials)["failure"]
        if failure["reason"] != reason or words not in failure["message"] + failure["likely_cause"]:
            raise Failure(json.dumps(failure))
        return {"failure": failure}


# pion's client against the server under test


def asked_by_pion(report, arguments, authority, directory):
    """Tests an allocation, a permission and echoes over each transport."""
    options = server.Options(hosts=[HOST], port=OWN_PORT, tls_port=OWN_TLS_PORT, users={USER: PASSWORD},
                             certificate=authority, allow_peers=["127.0.0.0/8"])
    with server.Server(arguments, options) as running:
        for transport in TRANSPORTS:
            report.run(f"pion's client, {transport}",
                       lambda t=transport: echoes(call(directory, authority, t, PASSWORD, 0)))
        report.run("pion's client, a wrong password",
                   lambda: refused(call(directory, authority, "udp", "wrong", 1), "401"))
        report.run("the server still runs", lambda: None if running.alive() else _raise(Failure("it ended")))
        if report.failed:
            print(running.explain(), flush=True)


def call(directory, authority, transport, password, expected):
    """Runs pion's client and returns its output."""
    port = OWN_TLS_PORT if transport in ("tls", "dtls") else OWN_PORT
    result = subprocess.run(
        [f"{directory}/pion_client", "-transport", transport, "-server", f"{HOST}:{port}", "-ca", authority.root,
         "-user", USER, "-password", password, "-count", str(MESSAGES)], capture_output=True, text=True,
        timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    if result.returncode != expected:
        raise Failure(f"status {result.returncode}: {(result.stdout + result.stderr).strip()[-600:]}")
    return result.stdout + result.stderr


def echoes(output):
    """Every message returns through our relay."""
    found = json.loads(output)
    _expect(found, {"echoed": MESSAGES})
    for key in ("mapped", "relayed"):
        if not found[key].startswith(f"{HOST}:"):
            raise Failure(output)
    return found


def refused(output, words):
    """pion's client reports the refusal."""
    if words not in output:
        raise Failure(output)
    return {"said": output.strip()}


def _expect(found, expected):
    wrong = {key: found.get(key) for key, value in expected.items() if found.get(key) != value}
    if wrong:
        raise Failure(f"{wrong} and not {expected}")


def _raise(failure):
    raise failure


if __name__ == "__main__":
    sys.exit(main())
