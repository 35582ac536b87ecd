#!/usr/bin/python3
"""An upgrade under load: the server starts its program again and hands its clients over.

With both engines: 1,000 allocations with paced media lose no more packets across an upgrade than in a quiet run.
coturn's client over UDP, TCP, TLS, DTLS and with TCP relays loses nothing. If the new process does not start, the old
one continues. Exit status: the number of failed cases.
"""

import copy
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import isolation
import processes
import server
from report import Failure, Report

PEER_PORT = 23999
USER = ("alice", "secret")
ALLOCATIONS = 1000
RATE = 5000  # packets a second, and as many back
SECONDS = 8
ENGINES = ("epoll", "io-uring")
# The clients of coturn's tool and their options. The older process keeps those with TLS and DTLS.
CLIENTS = {"udp": [], "tcp": ["-t"], "TCP relays": ["-T"], "tls": ["-t", "-S"], "dtls": ["-S"]}


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report, ports = begin("upgrade", arguments, "only Turnpike hands its allocations over")
    if not ports:
        return report.finish()
    for engine in ENGINES:
        report.run(f"{ALLOCATIONS} relays, {engine}", lambda e=engine: under_load(arguments, e, ports))
    if shutil.which("turnutils_uclient"):
        for number, (name, flags) in enumerate(CLIENTS.items()):
            engine = ENGINES[number % 2]
            report.run(f"uclient, {name}, {engine}", lambda f=flags, e=engine: client(arguments, e, f, ports))
    else:
        report.skip("uclient", "coturn's tools are not installed; NOTHING WAS TESTED WITH THEM")
    report.run("a new process that does not come up", lambda: failures(arguments, ports))
    report.run("two upgrades in a row, then SIGTERM", lambda: twice(arguments, ports))
    return report.finish()


def begin(name, arguments, reason):
    """Begins a suite for Turnpike only; returns the report and the server's ports, none if everything is skipped."""
    report = Report(name)
    ports = {"port": 3478, "tls_port": 5349}
    if not isolation.enter(required=False):
        ports = {"port": 23478, "tls_port": 23479}
    if arguments.server != "turnpike":
        report.skip("everything", reason)
        ports = {}
    return report, ports


def options(engine, ports, **settings):
    """Returns a server for one user, whose peers may be on loopback."""
    return server.Options(users=dict([USER]), allow_peers=["127.0.0.0/8"], **ports, settings={
        "engine": engine, "workers": "2", "relay.ports": "30000-39999", "limits.allocations": "0",
        "limits.allocations-per-user": "0", "limits.allocations-per-address": "0", "admin.listen": "127.0.0.1:28478",
        **settings})


def lines(running, pattern):
    """Returns the matches in the server's log."""
    return re.findall(pattern, processes.text(running.log), re.MULTILINE)


def await_line(running, pattern, seconds=20):
    """Waits for a line in the log; returns its match."""
    match = processes.wait_for_line(running.log, pattern, running.process, seconds)
    if not match:
        raise Failure(f"no line {pattern} in {seconds} s: {running.explain()}")
    return match


def upgrade(arguments, running):
    """Runs `turnpike upgrade`; returns its JSON document."""
    result = subprocess.run(
        [server.program(arguments), "upgrade", "--json", "--admin", "http://127.0.0.1:28478"], capture_output=True,
        text=True, timeout=60, check=False)
    if result.returncode != 0:
        raise Failure(f"turnpike upgrade: status {result.returncode}: {result.stderr}\n{running.explain()}")
    return json.loads(result.stdout)


# MARK: Load


def under_load(arguments, engine, ports):
    """Measures the loss of a quiet run and of one with an upgrade in its middle."""
    return loses_no_more(lambda: compare(arguments, engine, ports), "an upgrade")


def loses_no_more(measure, cause):
    """Returns the figures of a run that loses no more packets than its quiet run.

    A machine that pauses for a moment loses packets too, so after a loss the measurement is repeated once. A server
    with a fault loses packets in both.
    """
    before = []
    while True:
        figures = measure()
        if figures["lost"] <= figures["quiet_lost"] or before:
            break
        before.append(figures["lost"])
    figures["lost_before"] = before
    if figures["lost"] > figures["quiet_lost"]:
        failure = Failure(f"{before} and {figures['lost']} of {figures['sent']} packets lost, "
                          f"{figures['quiet_lost']} without {cause}")
        failure.figures = figures
        raise failure
    return figures


def load_generator(arguments):
    """Returns the path of turnload, which is beside the server."""
    path = server.built("turnload", os.path.join(os.path.dirname(server.program(arguments)), "turnload"))
    if path is None:
        raise Failure("turnload is not built")
    return path


def compare(arguments, engine, ports):
    """Loads one server twice, the second time with an upgrade in the middle; returns the figures."""
    generator = load_generator(arguments)
    with server.Server(arguments, options(engine, ports)) as running:
        quiet = load(generator, running, lambda: None)
        answers = []
        busy = load(generator, running, lambda: answers.append(upgrade(arguments, running)))
        if not answers:
            raise Failure(f"the upgrade has failed: {running.explain()}")
        if busy["failures"] or answers[0]["allocations"] < ALLOCATIONS:
            raise Failure(f"not every allocation has moved: {busy['failures']} failures, {answers[0]}")
        return {"quiet_lost": quiet["lost"], "lost": busy["lost"], "sent": busy["sent"], **answers[0]}


def load(generator, running, meanwhile):
    """Runs the load generator and calls `meanwhile` in its middle; returns its JSON document."""
    environment = dict(os.environ, TURNLOAD_USERNAME=USER[0], TURNLOAD_PASSWORD=USER[1])
    command = [generator, "relay", "--direction", "echo", "--allocations", str(ALLOCATIONS), "--rate", str(RATE),
               "--duration", str(SECONDS), "--json", f"turn:127.0.0.1:{running.options.port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment) as process:
        timer = threading.Timer(SECONDS / 2, meanwhile)
        timer.start()
        output, errors = process.communicate(timeout=SECONDS + 60)
        timer.join()
    if process.returncode not in (0, 1):
        raise Failure(f"turnload: {errors} {output[-500:]}\n{running.explain()}")
    return json.loads(output)


# MARK: coturn's client


def client(arguments, engine, flags, ports):
    """Runs coturn's client with several connections across an upgrade."""
    with server.Server(arguments, options(engine, ports)) as running:
        peer = subprocess.Popen(["turnutils_peer", "-p", str(PEER_PORT), "-L", "127.0.0.1"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            secure = "-S" in flags
            where = [] if "-T" in flags else ["-e", "127.0.0.1", "-r", str(PEER_PORT)]
            command = ["turnutils_uclient", "-u", USER[0], "-w", USER[1], "-m", "4", "-n", "300", "-l", "100", "-z",
                       "20", "-p", str(running.options.tls_port if secure else running.options.port), *where, *flags,
                       "127.0.0.1"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            time.sleep(6)  # the tool allocates for some seconds, then sends for six
            answer = upgrade(arguments, running)
            output, _ = process.communicate(timeout=60)
        finally:
            processes.stop(peer)
        lost = re.search(r"Total lost packets (\d+)", output)
        if process.returncode != 0 or not lost or int(lost.group(1)) != 0:
            raise Failure(f"uclient: status {process.returncode}: {output[-400:]}\n{running.explain()}")
        if secure != (answer["kept"] > 0):
            raise Failure(f"the wrong clients have moved: {answer}")
        return answer


# MARK: Failures


def failures(arguments, ports):
    """The old process continues after a program that fails, one that is missing, and a wrong configuration."""
    with tempfile.TemporaryDirectory(prefix="turnpike-interop-upgrade-") as folder, \
            server.Server(*copied(arguments, ports, folder)) as running:
        program = pathlib.Path(folder, "turnpike")
        kept = program.with_name("kept")
        program.rename(kept)
        shutil.copy("/bin/false", program)
        refuse(running, 1, "the other process has ended")
        program.unlink()
        refuse(running, 2, "cannot be started")
        kept.rename(program)
        file = pathlib.Path(running.directory, "turnpike.yml")
        right = file.read_text(encoding="utf-8")
        file.write_text(right + "nonsense: 1\n", encoding="utf-8")
        refuse(running, 3, "unknown key")
        file.write_text(right.replace("workers: 2", "workers: 1"), encoding="utf-8")
        refuse(running, 4, "an upgrade keeps the number of shards")
        file.write_text(right, encoding="utf-8")
        running.process.send_signal(signal.SIGUSR2)
        await_line(running, r"\bupgraded\b")
        return {}


def refuse(running, number, reason):
    """Requests an upgrade that fails for this reason, then a Binding from the old process."""
    running.process.send_signal(signal.SIGUSR2)
    deadline = time.monotonic() + 20
    while len(lines(running, r"\bupgrade-failed\b.*")) < number:
        if time.monotonic() > deadline:
            raise Failure(f"no upgrade-failed: {running.explain()}")
        time.sleep(0.05)
    last = lines(running, r"\bupgrade-failed\b.*")[-1]
    if reason not in last:
        raise Failure(f"{reason!r} is not in: {last}")
    if not running.alive():
        raise Failure(f"the old process has ended: {running.explain()}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client_socket:
        client_socket.settimeout(3)
        client_socket.sendto(bytes.fromhex("000100002112a442") + bytes(12), ("127.0.0.1", running.options.port))
        if client_socket.recv(1500)[:2] != b"\x01\x01":
            raise Failure("the old process does not answer")


def copied(arguments, ports, folder):
    """Arguments with a copy of the program that can be replaced, and options with a configuration file."""
    changed = copy.copy(arguments)
    changed.turnpike = os.path.join(folder, "turnpike")
    shutil.copy(server.program(arguments), changed.turnpike)
    chosen = options("auto", ports)
    del chosen.settings["workers"]
    chosen.configuration = "workers: 2\n"
    return changed, chosen


def twice(arguments, ports):
    """Two upgrades; the first process waits, passes SIGTERM on and ends with the last one's status."""
    with server.Server(arguments, options("auto", ports)) as running:
        first = upgrade(arguments, running)
        await_admin()
        second = upgrade(arguments, running)
        if first["process"] == second["process"]:
            raise Failure(f"the same process twice: {first}")
        await_admin()
        running.process.send_signal(signal.SIGTERM)
        try:
            status = running.process.wait(20)
        except subprocess.TimeoutExpired:
            raise Failure(f"the first process has not ended: {running.explain()}") from None
        if status != 0:
            raise Failure(f"the first process has ended with {status}: {running.explain()}")
        return {"processes": [first["process"], second["process"]]}


def await_admin():
    """Waits until the newer process serves the admin endpoint."""
    deadline = time.monotonic() + 15
    while True:
        try:
            with urllib.request.urlopen("http://127.0.0.1:28478/healthz", timeout=2) as answer:
                if answer.status == 200:
                    time.sleep(0.3)
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise Failure("the admin endpoint does not answer")
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
