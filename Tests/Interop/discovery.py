#!/usr/bin/python3
"""NAT behaviour discovery by clients of other projects: coturn's turnutils_natdiscovery (RFC 5780) and Vovida's `stun`
(RFC 3489, Debian's stun-client), against a server with two loopback addresses and two ports.

Exit status: the number of failed cases.
"""

import re
import shutil
import subprocess
import sys

import isolation
import server
from report import Failure, Report

SECONDS = 20
PRIMARY, ALTERNATE = "127.0.0.1", "127.0.0.2"
PORT, OTHER_PORT = 3478, 3479


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report = Report("discovery")
    isolation.enter(required=False)
    both = {"nat-discovery.primary": f"{PRIMARY}:{PORT}", "nat-discovery.alternate": f"{ALTERNATE}:{OTHER_PORT}",
            "rfc3489": "true"}
    if arguments.server == "coturn":
        report.skip("everything", "this suite does not configure coturn's NAT discovery")
        return report.finish()
    with server.Server(arguments, server.Options(users={"alice": "secret"}, settings=both)) as running:
        if shutil.which("turnutils_natdiscovery"):
            for name, options, expected in NATDISCOVERY:
                report.run(f"natdiscovery, {name}", lambda o=options, e=expected: natdiscovery(o, e))
        else:
            report.skip("natdiscovery", "coturn's tools are not installed")
        if shutil.which("stun"):
            report.run("stun-client, the kind of NAT", lambda: classic([], r"Primary: Open"))
            for number, source in STUN:
                report.run(f"stun-client, test {number}", lambda n=number, s=source: classic(
                    [str(n)], rf"MappedAddress = 127\.0\.0\.1:\d+\s+SourceAddress = {re.escape(s)}\s+"
                              rf"ChangedAddress = {re.escape(f'{ALTERNATE}:{OTHER_PORT}')}"))
        else:
            report.skip("stun-client", "Debian's stun-client is not installed")
        report.run("the server still runs", lambda: None if running.alive() else _raise(Failure(running.explain())))
    with server.Server(arguments, server.Options(users={"alice": "secret"}, settings={"rfc3489": "true"})):
        if shutil.which("stun"):
            report.run("stun-client, a server with one address",
                       lambda: classic(["1"], r"MappedAddress = 127\.0\.0\.1:\d+"))
    return report.finish()


ORIGIN = "Response origin: : {}:{}"
# Name, options, expected output.
NATDISCOVERY = [
    ("mapping", ["-m"], ["No NAT! (Endpoint Independent Mapping)", f"Other addr: : {ALTERNATE}:{OTHER_PORT}",
                         "No ALG: Mapped == XOR-Mapped", ORIGIN.format(ALTERNATE, PORT)]),
    ("filtering", ["-f"], ["NAT with Endpoint Independent Filtering!", ORIGIN.format(ALTERNATE, OTHER_PORT)]),
    ("mapping, padded", ["-m", "-P"], ["No NAT! (Endpoint Independent Mapping)"]),
    ("filtering, padded", ["-f", "-P"], ["NAT with Endpoint Independent Filtering!"]),
    ("hairpinning", ["-H"], ["Received a request (maybe a successful hairpinning)"]),
    ("lifetime", ["-t", "-T", "1"], ["RFC 5780 response 2"]),
    ("collision", ["-c", "-A", "127.0.0.3"], ["RFC 5780 response 2", "UDP reflexive addr: 127.0.0.3:"]),
]
# Test, and the address that the answer must come from.
STUN = [(1, f"{PRIMARY}:{PORT}"), (2, f"{ALTERNATE}:{PORT}"), (3, f"{PRIMARY}:{OTHER_PORT}"), (4, f"{ALTERNATE}:{PORT}")]


def natdiscovery(options, expected):
    """Runs coturn's tool and checks its result."""
    output = run(["turnutils_natdiscovery", *options, "-p", str(PORT), "-L", "127.0.0.1", PRIMARY])
    for text in expected:
        if text not in output:
            raise Failure(f"no {text!r} in: …{output[-600:]}")
    return {"found": expected[0]}


def classic(arguments, expected):
    """Runs Vovida's client and checks its result. (Its exit status is the kind of NAT.)"""
    output = run(["stun", f"{PRIMARY}:{PORT}", *arguments, "-v"])
    match = re.search(expected, output)
    if not match:
        raise Failure(f"no match for {expected!r} in: …{output[-600:]}")
    return {"found": " ".join(match.group(0).split())}


def run(command):
    """Runs a tool and returns its whole output."""
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                timeout=SECONDS, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as expired:
        raise Failure(f"no end after {SECONDS} s: {' '.join(command)}: {(expired.stdout or b'')[-300:]}") from None
    return result.stdout


def _raise(failure):
    raise failure


if __name__ == "__main__":
    sys.exit(main())
