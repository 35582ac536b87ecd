#!/usr/bin/python3
"""The public address that the server finds by itself (`relay.advertise: auto`), behind a 1:1 NAT in namespaces:

    inside 10.1.0.2 -- 10.1.0.1 nat 11.1.0.2 (later .3) -- 11.1.0.1 outside 9.9.9.9 and 9.9.9.10

`nat` also has the clouds' metadata service, 169.254.169.254 (public_address_fakes.py); `outside` has coturn as the STUN
server that is asked, and the clients. The addresses look global; none of them leaves the namespaces.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import isolation
import processes
import server
from public_address_fakes import BODIES, DOCUMENTS
from public_address_network import LOCAL, NEXT, PUBLIC, Network, inside, run
from report import Failure, Report

COTURN, FAKE = "stun:9.9.9.9", "stun:9.9.9.9:3480"
HOSTILE = sorted(BODIES) + ["stall", "drip", "redirect", "headers", "garbage", "bad-token"]
LIARS = ["other-source", "other-transaction", "huge", "flood", "cut", "loopback"]
START_LIMIT = 15  # seconds: the start waits ten for the first answer, and server.py waits three for a line


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__, case="only cases whose names have this text")
    report = Report("public_address")
    stunclient = server.built("stunclient")
    for missing, what in ((not server.program(arguments) or not stunclient, "the programs are not built"),
                          (not shutil.which("turnserver"), "coturn is not installed"),
                          (not shutil.which("nft"), "nftables is not installed")):
        if missing:
            report.skip("everything", f"{what}; NO PUBLIC ADDRESS WAS FOUND")
            return report.finish()
    if not isolation.enter(required=True):
        report.skip("everything", "network namespaces are refused here; NO PUBLIC ADDRESS WAS FOUND")
        return report.finish()
    with Scene(arguments, stunclient) as scene:
        for name, case in cases(scene):
            if arguments.case in name:
                report.run(name, case)
    return report.finish()


def cases(scene):
    """Yields the name and the function of each case."""
    yield "coturn is asked, and its own clients get relays", scene.coturn
    for kind in DOCUMENTS:
        yield f"metadata of {kind}", lambda kind=kind: scene.cloud(kind)
    for kind in HOSTILE:
        yield f"a hostile metadata service: {kind}", lambda kind=kind: scene.hostile("metadata", kind, "cloud")
    for mode in LIARS:
        yield f"a hostile STUN server: {mode}", lambda mode=mode: scene.hostile("stun", mode, FAKE)
    yield "lies before the right answer", scene.lies_first
    yield "nothing answers", scene.silence
    yield "a changed address", scene.change
    yield "a name", scene.name
    yield "reload: a mapping, auto, a mapping", scene.reload
    yield "an upgrade without an answer", scene.upgrade
    yield "doctor and credentials", scene.commands


class Scene(Network):
    """The namespaces, with coturn outside."""

    def __init__(self, arguments, stunclient):
        self.arguments, self.stunclient = arguments, stunclient
        super().__init__()
        self.coturn_process = None

    def __enter__(self):
        try:
            self.build()
            self.coturn_process = processes.start(
                inside("outside") + ["turnserver", "-n", "-a", "-u", "alice:secret", "-r", "example.org", "--no-cli",
                                     "--no-tls", "--no-dtls", "-L", "9.9.9.9", "-E", "9.9.9.9", "--pidfile",
                                     "/tmp/turnpike-public-address.pid", "-b", "/tmp/turnpike-public-address.db"],
                self.log, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
            self.await_socket("outside", "-lun", "9.9.9.9:3478")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        processes.stop(self.coturn_process, 0)
        self.remove()

    def server(self, detect="", **more):
        """The server behind the NAT, with all its hardening."""
        settings = {"relay.advertise": "auto", "listeners": "udp://0.0.0.0:3478,tcp://0.0.0.0:3478",
                    "admin.listen": "127.0.0.1:8478", "workers": "2"}
        settings.update({key.replace("__", "."): value for key, value in more.items()})
        if detect:
            settings["relay.detect"] = detect
        return server.Server(self.arguments, server.Options(
            hosts=[LOCAL], users={"alice": "secret"}, settings=settings, prefix=inside("inside")))

    def relayed(self, host=PUBLIC):
        """Allocates from outside, sends data through the relay, and returns the relayed address."""
        result = subprocess.run(
            inside("outside") + [self.stunclient, "relay", "--json", f"turn:{host}"], capture_output=True, text=True,
            check=False, env={**os.environ, "STUNCLIENT_USERNAME": "alice", "STUNCLIENT_PASSWORD": "secret"}, timeout=60)
        document = json.loads(result.stdout)
        found = (document.get("checks") or [document])[0]["relayed"][0].rpartition(":")[0]
        # A private address gives a warning, with exit status 1.
        if result.returncode != (1 if found == LOCAL else 0):
            raise Failure(f"stunclient: {result.returncode}: {result.stdout}")
        return found

    # The cases.

    def coturn(self):
        """The server asks the configured STUN server from the relay's address; coturn's clients get relays."""
        with self.server(f"interface,cloud,{COTURN}") as running:
            line = wait(running, rf"public-address-found .*address={PUBLIC}.*").group(0)
            expect(self.relayed(), PUBLIC)
            run(inside("outside") + ["turnutils_stunclient", "-p", "3478", PUBLIC])
            run(inside("outside") + ["turnutils_uclient", "-u", "alice", "-w", "secret", "-y", "-n", "20", PUBLIC])
            hardened(running)
            return {"line": line, **metrics(1, changes=0)}

    def cloud(self, kind):
        """The metadata service of a cloud gives the address."""
        with self.fake("metadata", kind, PUBLIC), self.server() as running:
            source = wait(running, rf'public-address-found .*address={PUBLIC} source="?(cloud \(\w+\))').group(1)
            expect(source, f"cloud ({kind})")
            hardened(running)
        return {"source": source}

    def hostile(self, what, mode, source):
        """The start is not delayed, a false answer is not used, and the log line names the key."""
        started = time.monotonic()
        with self.fake(what, mode, "11.1.0.9"), self.server(source) as running:
            seconds = round(time.monotonic() - started, 1)
            line = wait(running, r"public-address-failed .*").group(0)
            if "relay.advertise" not in line or "11.1.0." in line or seconds > START_LIMIT:
                raise Failure(f"after {seconds} s: {line}")
            expect(self.relayed(), LOCAL)
            return {"ready": seconds, "reason": re.search(r'reason="([^"]*)"', line).group(1)}

    def lies_first(self):
        """Answers from another address or with another transaction ID are ignored; the right answer is used."""
        with self.fake("stun", "lies-first", PUBLIC), self.server(FAKE) as running:
            wait(running, rf"public-address-found .*address={PUBLIC}.*forward relay.ports")
            expect(self.relayed(), PUBLIC)
        return {}

    def silence(self):
        """Without an answer the start waits for a bounded time; a later search finds the address."""
        started = time.monotonic()
        with self.server(f"interface,cloud,{FAKE}") as running:
            seconds = round(time.monotonic() - started, 1)
            line = wait(running, r"public-address-failed .*").group(0)
            if seconds > START_LIMIT or "interface: 10.1.0.2 is private" not in line:
                raise Failure(f"after {seconds} s: {line}")
            with self.fake("stun", "honest", PUBLIC):
                run(inside("inside") + ["ip", "address", "add", "10.1.0.77/32", "dev", "lo"])  # searches again
                wait(running, rf"public-address-found .*address={PUBLIC}", 20)
                expect(self.relayed(), PUBLIC)
            run(inside("inside") + ["ip", "address", "del", "10.1.0.77/32", "dev", "lo"])
        return {"ready": seconds, "line": line}

    def change(self):
        """A changed address is found, and new allocations get it."""
        with self.server(COTURN, **{"relay.detect-interval": "1s"}) as running:
            expect(self.relayed(), PUBLIC)
            self.map_to(NEXT)
            try:
                line = wait(running, rf"public-address-changed .*address={NEXT}.*", 20).group(0)
                expect(self.relayed(NEXT), NEXT)
                return {"line": line, **metrics(1, changes=1)}
            finally:
                self.map_to(PUBLIC)

    def name(self):
        """A name is resolved at the start, and again at each interval."""
        hosts = "/tmp/turnpike-public-address-hosts"

        def point_to(address):
            with open(hosts, "w", encoding="utf-8") as file:
                file.write(f"127.0.0.1 localhost\n{address} turn.example.test\n")

        point_to(PUBLIC)
        run(["mount", "--bind", hosts, "/etc/hosts"])
        try:
            with self.server(**{"relay.advertise": "turn.example.test", "relay.detect-interval": "1s"}) as running:
                wait(running, rf'public-address-found .*address={PUBLIC} source="name turn.example.test"')
                expect(self.relayed(), PUBLIC)
                point_to(NEXT)
                line = wait(running, rf"public-address-changed .*address={NEXT}.*", 20).group(0)
                expect(self.relayed(), NEXT)
                return {"line": line}
        finally:
            run(["umount", "/etc/hosts"])

    def reload(self):
        """A reload changes `relay.advertise`, also if the first search begins under the system call filter."""
        text = ("realm: example.org\nrelay:\n  advertise: {}\nadmin: {{ listen: '127.0.0.1:8478' }}\n"
                "listeners: [ 'udp://0.0.0.0:3478' ]\nauth: {{ users: {{ alice: secret }} }}\n")
        with self.fake("metadata", "aws", PUBLIC), server.Server(self.arguments, server.Options(
                configuration=text.format(f"{{ {LOCAL}: {NEXT} }}"), hosts=[LOCAL],
                settings={"listeners": "udp://0.0.0.0:3478"}, prefix=inside("inside"))) as running:
            file = os.path.join(running.directory, "turnpike.yml")
            expect(self.relayed(), NEXT)
            for advertise, address in (("auto", PUBLIC), (NEXT, NEXT), ("auto", PUBLIC)):
                with open(file, "w", encoding="utf-8") as target:
                    target.write(text.format(advertise))
                before = processes.text(running.log).count("reloaded")
                running.process.send_signal(signal.SIGHUP)
                deadline = time.monotonic() + 10
                while processes.text(running.log).count("reloaded") == before or self.relayed() != address:
                    if time.monotonic() > deadline:
                        raise Failure(f"{advertise}: {self.relayed()}\n{running.explain()}")
                    time.sleep(0.1)
            hardened(running)
        return {}

    def upgrade(self):
        """The newer process gives clients the older one's address while its own search has no answer."""
        with self.server(FAKE) as running:
            with self.fake("stun", "honest", PUBLIC):
                run(inside("inside") + ["ip", "address", "add", "10.1.0.77/32", "dev", "lo"])
                wait(running, rf"public-address-found .*address={PUBLIC}", 20)
            run(inside("inside") + ["ip", "address", "del", "10.1.0.77/32", "dev", "lo"])
            running.process.send_signal(signal.SIGUSR2)
            wait(running, r"took-over", 30)
            line = wait(running, rf"public-address-failed .*still told {PUBLIC}.*", 10).group(0)
            expect(self.relayed(), PUBLIC)
            return {"line": line}

    def commands(self):
        """`doctor` and `credentials` search as the server does."""
        program = server.program(self.arguments)
        common = ["--set", "relay.advertise=auto", "--set", f"relay.detect={COTURN}", "--set", "auth.secrets=north",
                  "--set", f"relay.addresses={LOCAL}", "--set", "listeners=udp://0.0.0.0:3478"]
        doctor = subprocess.run(inside("inside") + [program, "doctor"] + common, capture_output=True, text=True,
                                check=False).stdout
        if f"{LOCAL}, told to clients as {PUBLIC}, found by {COTURN}" not in doctor:
            raise Failure(doctor)
        servers = json.loads(run(inside("inside") + [program, "credentials"] + common))
        expect(servers["iceServers"][0]["urls"], [f"stun:{PUBLIC}:3478", f"turn:{PUBLIC}:3478?transport=udp"])
        return {}


def wait(running, pattern, seconds=12):
    """Waits for a line of the log."""
    match = processes.wait_for_line(running.log, pattern, running.process, seconds)
    if not match:
        raise Failure(f"no line {pattern!r}\n{running.explain()}")
    return match


def expect(found, wanted):
    """Fails if the values differ."""
    if found != wanted:
        raise Failure(f"{found!r} instead of {wanted!r}")


def hardened(running):
    """Fails unless every measure of hardening is on."""
    text = processes.text(running.log)
    if not re.search(r"hardened .*seccomp=on", text) or "hardening-incomplete" in text:
        raise Failure(f"not hardened\n{running.explain()}")


def metrics(known, changes):
    """Checks the metrics of the search."""
    text = run(inside("inside") + ["curl", "-s", "-m", "3", "http://127.0.0.1:8478/metrics"])
    expect(re.search(r'turnpike_public_address\{family="ipv4",relay="0"\} (\d)', text).group(1), str(known))
    expect(re.search(r"turnpike_public_address_changes_total (\d+)", text).group(1), str(changes))
    return {"searches": re.search(r'searches_total\{outcome="found"\} (\d+)', text).group(1)}


if __name__ == "__main__":
    sys.exit(main())
