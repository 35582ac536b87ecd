#!/usr/bin/python3
"""A storm of reloads under load: 100 configurations, right and wrong ones in turn, while 1,000 relays carry media.

With both engines: no more packets are lost than in a quiet run of the same server; every right configuration is loaded,
every wrong one is refused with the name of its mistake, and the last right one is in force, during the storm and after
it. Exit status: the number of failed cases.
"""

import pathlib
import re
import signal
import sys
import threading
import time
import urllib.request

import server
import upgrade
from report import Failure

RELOADS = 100
SECONDS = 6
# The configurations: other secrets, limits, peers, lifetimes and TLS versions, and mistakes of each kind. With each right
# one is a text that only its effective configuration has.
RIGHT = [
    ("auth: { secrets: [ north, south ] }\n", "  secrets:\n  - \"<redacted>\"\n  - \"<redacted>\"\n"),
    ("limits: { bandwidth-per-user: 100M, permissions-per-allocation: 900 }\n", "bandwidth-per-user: 100M\n"),
    ("peers: { deny: [ 198.51.100.0/24, 203.0.113.0/24 ] }\nlifetime: { default: 700s }\n", "default: 700s\n"),
    ("tls: { minimum-version: \"1.2\" }\nsoftware: another\n", "software: another\n"),
]
WRONG = [
    ("nonsense: 1\n", "unknown key"), ("limits: { allocations-per-user: many }\n", "allocations-per-user"),
    ("auth: { secrets: [ \"\" ] }\n", "auth.secrets"), ("peers: [\n", "turnpike.yml"),
    ("tls: { certificate: /nowhere/chain.pem, private-key: /nowhere/key.pem }\n", "/nowhere/"),
]


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report, ports = upgrade.begin("reload", arguments, "the configurations are Turnpike's")
    if not ports:
        return report.finish()
    for engine in upgrade.ENGINES:
        report.run(f"{RELOADS} reloads, {engine}", lambda e=engine: storm(arguments, e, ports))
    return report.finish()


def storm(arguments, engine, ports):
    """Measures the loss of a quiet run and of one with the storm."""
    return upgrade.loses_no_more(lambda: compare(arguments, engine, ports), "reloads")


def compare(arguments, engine, ports):
    """Loads one server twice, the second time with the storm."""
    generator = upgrade.load_generator(arguments)
    upgrade.SECONDS = SECONDS
    chosen = upgrade.options(engine, ports)
    chosen.configuration = RIGHT[0][0]
    with server.Server(arguments, chosen) as running:
        quiet = upgrade.load(generator, running, lambda: None)
        outcome = {}
        threading.Timer(1, lambda: outcome.update(reloads(running))).start()
        busy = upgrade.load(generator, running, lambda: None)
        deadline = time.monotonic() + 10
        while not outcome and time.monotonic() < deadline:
            time.sleep(0.05)
        if "error" in outcome or not outcome:
            raise Failure(f"{outcome.get('error', 'the storm has not ended')}: {running.explain()}")
        if busy["failures"]:
            raise Failure(f"{busy['failures']} allocations failed")
        return {"quiet_lost": quiet["lost"], "lost": busy["lost"], "sent": busy["sent"], **outcome}


def reloads(running):
    """Writes one configuration after another and waits for the outcome of each."""
    file = pathlib.Path(running.directory, "turnpike.yml")
    started = time.monotonic()
    done = {"reloaded": 0, "refused": 0}
    for number in range(RELOADS):
        right = RIGHT[number // 2 % len(RIGHT)]
        text, reason = (right[0], None) if number % 2 == 0 else WRONG[number // 2 % len(WRONG)]
        scratch = file.with_suffix(".new")
        scratch.write_text(text, encoding="utf-8")
        scratch.rename(file)
        place = pathlib.Path(running.log).stat().st_size
        running.process.send_signal(signal.SIGHUP)
        line = outcome(running, place)
        if line is None:
            return {"error": f"no outcome of reload {number}: {text!r}"}
        if (reason is None) != ("reload-failed" not in line):
            return {"error": f"reload {number} of {text!r}: {line}"}
        if reason and reason not in line:
            return {"error": f"{reason!r} is not in {line}"}
        if (found := in_force()) != [right[0]]:
            return {"error": f"after reload {number} these are in force: {found}, and not {right[0]!r}"}
        done["refused" if reason else "reloaded"] += 1
    return {**done, "seconds": round(time.monotonic() - started, 2)}


def in_force():
    """The right configurations whose text the server's effective configuration has."""
    with urllib.request.urlopen("http://127.0.0.1:28478/api/v1/configuration", timeout=5) as answer:
        effective = answer.read().decode()
    return [text for text, mark in RIGHT if mark in effective]


def outcome(running, place):
    """The log from an offset up to the outcome of a reload; None after ten seconds without an outcome."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with open(running.log, "rb") as log:
            log.seek(place)
            text = log.read().decode(errors="replace")
        if re.search(r"\b(reloaded|reload-failed)\b", text):
            return text
        time.sleep(0.005)
    return None


if __name__ == "__main__":
    sys.exit(main())
