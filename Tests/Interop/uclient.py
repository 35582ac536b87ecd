#!/usr/bin/python3
"""coturn's own client tools against the server: turnutils_stunclient, and turnutils_uclient with turnutils_peer.

Over UDP, TCP, TLS and DTLS, by channels and by Send indications, IPv4 and IPv6, as a long-term user, with a time-limited
(REST) credential and with access tokens: every message must come back. Exit status: the number of failed cases.
"""

import concurrent.futures
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import isolation
import processes
import server
from certificates import Authority
from report import Failure, Report

PEER_PORT = 23999
MESSAGES = 100
CLIENTS = 2
SECONDS = 40
AT_ONCE = 4  # the tool mostly waits: each of its steps takes a second

# The tool's built-in keys; it chooses one of them at random for each token.
OAUTH = """
realm: example.org
auth:
  oauth-keys:
    - { id: north, key: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=, algorithm: A256GCM }
    - { id: union, key: MTIzNDU2Nzg5MDEyMzQ1Ng==, algorithm: A128GCM }
    - { id: oldempire, key: MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=, algorithm: A256GCM }
"""

USER = ("alice", "correct horse")
SECRET = "north-wind"

TRANSPORTS = {"udp": [], "tcp": ["-t"], "tls": ["-t", "-S"], "dtls": ["-S"]}
METHODS = {"channels": [], "send indications": ["-s"]}
# Name: the server's address, the peer's address and options.
FAMILIES = {"IPv4": ("127.0.0.1", "127.0.0.1", []), "IPv6": ("::1", "::1", ["-x"])}


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report = Report("uclient")
    if not shutil.which("turnutils_uclient"):
        report.skip("everything", "coturn's tools are not installed; NOTHING WAS TESTED WITH THEM")
        return report.finish()
    ports = {} if isolation.enter(required=False) else {"port": 23478, "tls_port": 23479}
    with tempfile.TemporaryDirectory(prefix="turnpike-interop-uclient-") as directory:
        common = {"hosts": ["127.0.0.1", "::1"], "certificate": Authority(directory), **ports}
        allowed = {"allow_peers": ["127.0.0.0/8", "::1/128"]}
        credentials = ["-u", USER[0], "-w", USER[1]]
        with peers(directory):
            serve(arguments, report, server.Options(users=dict([USER]), **allowed, **common),
                  lambda suite: (suite.bindings() + suite.matrix("user", credentials) + suite.mixed(credentials)
                                 + suite.tcp_relay(credentials)))
            serve(arguments, report, server.Options(secret=SECRET, **allowed, **common),
                  lambda suite: suite.matrix("REST secret", ["-u", "alice", "-W", SECRET]))
            serve(arguments, report,
                  server.Options(users=dict([USER]), settings={"limits.bandwidth-per-user": "20k"}, **allowed, **common),
                  lambda suite: suite.limited(credentials))
        # From client to client no peer needs a rule: both ends are relayed addresses of the server itself.
        serve(arguments, report, server.Options(users=dict([USER]), **common),
              lambda suite: suite.relay_to_relay(credentials))
        serve(arguments, report,
              server.Options(users=dict([USER]), settings={"relay.mobility": "true"}, **common),
              lambda suite: suite.mobility(credentials))
        with peers(directory):
            serve(arguments, report, imported_users(arguments, report, directory, {**allowed, **common}),
                  lambda suite: suite.matrix("user of coturn's database", credentials))
        with peers(directory):
            serve(arguments, report, server.Options(configuration=OAUTH, **allowed, **common),
                  lambda suite: suite.access_tokens())
    return report.finish()


def imported_users(arguments, report, directory, common):
    """Makes a database with coturn's turnadmin and imports it. Returns the server's options."""
    database, file, state = f"{directory}/turndb", f"{directory}/turnserver.conf", f"{directory}/imported"
    pathlib.Path(file).write_text("realm=example.org\n", encoding="ascii")
    os.makedirs(state, exist_ok=True)

    def make():
        for command in (["turnadmin", "-a", "-b", database, "-u", USER[0], "-r", "example.org", "-p", USER[1]],
                        [server.program(arguments), "import", "coturn", file, "--userdb", database,
                         "--set", f"state-directory={state}"]):
            result = run(command)
            if result.returncode != 0:
                raise Failure(f"{' '.join(command)}: {_last(result)}")

    if arguments.server == "turnpike":
        report.run("turnadmin's database is imported", make)
    return server.Options(settings={"state-directory": state, "realm": "example.org"}, **common)


def serve(arguments, report, options, cases):
    """Starts a server and runs cases against it, several at a time."""
    try:
        running = server.Server(arguments, options)
    except Failure as failure:
        text = str(failure)
        report.run("server starts", lambda: _raise(Failure(text)))
        return
    failed_before = report.failed
    with running, concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        pending = [(name, pool.submit(function)) for name, function in cases(Suite(options))]
        for name, future in pending:
            report.run(name, future.result)
        report.run("the server still runs", lambda: None if running.alive() else _raise(Failure("it ended")))
        if report.failed > failed_before:
            print(running.explain(), flush=True)


class Suite:
    """Names and bodies of the cases for one server."""

    def __init__(self, options):
        self.port = options.port
        self.tls_port = options.tls_port

    def bindings(self):
        """Returns the cases of Binding requests."""
        return [(f"stunclient, Binding, {family}", lambda host=host: self.binding(host))
                for family, (host, _, _) in FAMILIES.items()]

    def matrix(self, who, credentials):
        """Returns the cases of every transport, method and family."""
        return [(f"uclient, {who}, {transport}, {method}, {family}",
                 lambda a=host, b=peer, o=credentials + flags + how + more: self.relay(a, b, o, "-S" in o))
                for transport, flags in TRANSPORTS.items() for method, how in METHODS.items()
                for family, (host, peer, more) in FAMILIES.items()]

    def access_tokens(self):
        """Returns the cases of third-party authorization (RFC 7635)."""
        return [(f"uclient, access tokens, {transport}, {method}",
                 lambda o=["-J"] + flags + how: self.relay("127.0.0.1", "127.0.0.1", o, "-S" in o))
                for transport, flags in TRANSPORTS.items() for method, how in METHODS.items()]

    def mixed(self, credentials):
        """Returns the cases of an IPv6 relay for an IPv4 client, the reverse, and a wrong password."""
        return [("uclient, IPv4 client, IPv6 relay", lambda: self.relay("127.0.0.1", "::1", credentials + ["-x"])),
                ("uclient, IPv6 client, IPv4 relay", lambda: self.relay("::1", "127.0.0.1", credentials + ["-X"])),
                ("uclient, big messages", lambda: self.relay("127.0.0.1", "127.0.0.1", credentials + ["-l", "1200"])),
                ("uclient, wrong password", self.wrong_password)]

    def relay_to_relay(self, credentials):
        """Both ends are clients of the server. (Over TLS the tool loses messages that share a record.)"""
        return [(f"uclient, from client to client, {transport}, {method}, {family}",
                 lambda a=host, o=credentials + ["-y"] + flags + how + more: self.relay(a, None, o))
                for transport, flags in TRANSPORTS.items() if transport != "tls" for method, how in METHODS.items()
                for family, (host, _, more) in FAMILIES.items()]

    def tcp_relay(self, credentials):
        """RFC 6062: both ends are TCP allocations, and each connects to the other's relayed address or waits for it.

        The tool signs ConnectionBind with the nonce of its control connection, and several clients pipeline their
        Connects (-m 4). With -P the peers speak in one direction only.
        """
        cases = []
        for family, (host, _, more) in FAMILIES.items():
            for transport, flags in (("tcp", []), ("tls", ["-S"])):
                cases.append((f"uclient, TCP relaying over {transport}, {family}",
                              lambda a=host, o=credentials + ["-T"] + flags + more: self.relay(
                                  a, None, o, "-S" in o, clients=4)))
        cases.append(("uclient, TCP relaying, peers that connect",
                      lambda: self.relay("127.0.0.1", None, credentials + ["-P", "-L", "127.0.0.1"],
                                         one_way=True)))
        return cases

    def mobility(self, credentials):
        """RFC 8016: every client changes its address between messages. (With TLS and DTLS the tool crashes.)"""
        return [(f"uclient, mobility, {transport}, {method}",
                 lambda o=credentials + ["-M", "-y"] + flags + how: self.relay("127.0.0.1", None, o))
                for transport, flags in TRANSPORTS.items() if transport in ("udp", "tcp") for method, how in METHODS.items()]

    def limited(self, credentials):
        """Returns the case of `limits.bandwidth-per-user`."""
        return [("uclient, limits.bandwidth-per-user", lambda: self.around_limit(credentials))]

    def around_limit(self, credentials):
        """At 20,000 bytes a second all short messages of two clients arrive, and a part of those of 1,200 bytes."""
        self.relay("127.0.0.1", "127.0.0.1", credentials)
        try:
            self.relay("127.0.0.1", "127.0.0.1", credentials + ["-l", "1200"])
        except Failure as failure:
            figures = getattr(failure, "figures", None)
            if figures is None or not 0 < figures["received"] < figures["sent"]:
                raise
            return figures
        raise Failure("nothing was dropped")

    def binding(self, host):
        """Checks that the reflexive address is ours."""
        result = run(["turnutils_stunclient", "-p", str(self.port), host])
        match = re.search(r"UDP reflexive addr: (.*):(\d+)$", result.stdout, re.MULTILINE)
        if result.returncode != 0 or not match or match.group(1).strip("[]") != host:
            raise Failure(f"status {result.returncode}: {_last(result)}")
        return {"reflexive": f"{match.group(1)}:{match.group(2)}"}

    def relay(self, host, peer, options, tls=False, one_way=False, clients=CLIENTS):
        """Every sent message must return, or arrive if only one side sends."""
        command = ["turnutils_uclient", "-p", str(self.tls_port if tls else self.port), "-n", str(MESSAGES),
                   "-m", str(clients), "-z", "5", *options]
        if peer:
            command += ["-e", peer, "-r", str(PEER_PORT)]
        start = time.monotonic()
        result = run(command + [host])
        totals = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)$", result.stdout, re.MULTILINE)
        lost = re.search(r"^.*Total lost packets (\d+).*$", result.stdout, re.MULTILINE)
        delay = re.search(r"Average round trip delay ([\d.]+) ms", result.stdout)
        jitter = re.search(r"Average jitter ([\d.]+) ms", result.stdout)
        if result.returncode != 0 or not totals or not lost:
            raise Failure(f"status {result.returncode}: {' '.join(command)}: {_last(result)}")
        sent, received = map(int, totals[-1])
        figures = {"sent": sent, "received": received, "lost": int(lost.group(1)), "seconds": _since(start),
                   "round_trip_ms": float(delay.group(1)), "jitter_ms": float(jitter.group(1)),
                   "line": lost.group(0).split(": : ")[-1]}
        # From client to client both ends send; over TCP the tool counts each exchange once.
        expected = MESSAGES * clients * (1 if peer or "-T" in options or "-P" in options else 2)
        wanted = sent // 2 if one_way else sent
        if sent != expected or received != wanted or figures["lost"] != sent - wanted:
            failure = Failure(f"sent {sent}, received {received}, lost {figures['lost']}: {' '.join(command)}")
            failure.figures = figures
            raise failure
        return figures

    def wrong_password(self):
        """A wrong password gives no allocation, and no message arrives."""
        result = run(["turnutils_uclient", "-p", str(self.port), "-u", USER[0], "-w", "wrong", "-e", "127.0.0.1",
                      "-r", str(PEER_PORT), "-n", "5", "127.0.0.1"])
        if "Cannot complete Allocation" not in result.stdout + result.stderr:
            raise Failure(f"the wrong password was not refused: {_last(result)}")


@contextlib.contextmanager
def peers(directory):
    """Starts an echoing peer on each loopback address."""
    running = [processes.start(["turnutils_peer", "-L", host, "-p", str(PEER_PORT)], f"{directory}/peer.txt",
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for host in ("127.0.0.1", "::1")]
    try:
        yield
    finally:
        for peer in running:
            processes.stop(peer)


def run(command):
    """Runs a tool to its end, within the time limit."""
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode(errors="replace")
        raise Failure(f"no end after {SECONDS} s: {' '.join(command)}: …{output[-300:]}") from None


def _last(result):
    return (result.stdout + result.stderr).strip()[-400:]


def _since(start):
    return round(time.monotonic() - start, 2)


def _raise(failure):
    raise failure


if __name__ == "__main__":
    sys.exit(main())
