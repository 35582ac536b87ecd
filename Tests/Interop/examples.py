#!/usr/bin/python3
"""The programs of Examples, as a separate package that depends on this one: they build and work.

The example client uses the example server, and the server under test. Exit status: the number of failed cases.
"""

import os
import re
import subprocess
import sys
import tempfile

import isolation
import processes
import server
from report import Failure, Report

EXAMPLES = os.path.join(server.REPOSITORY, "Examples")
BUILD = os.path.join(server.REPOSITORY, ".build", "examples")
HOST, PORT = "127.0.0.1", 24478
USER, PASSWORD = "alice", "correct horse"
SECONDS = 30


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report = Report("examples")
    isolation.enter(required=False)
    if not report.run("the examples build without a warning", build):
        return report.finish()
    with tempfile.TemporaryDirectory(prefix="turnpike-interop-examples-") as directory:
        report.run("the client through the embedded server", lambda: through_embedded(directory))
        if server.program(arguments):
            with server.Server(arguments, server.Options(users={USER: PASSWORD})) as running:
                report.run("the client through the server under test",
                           lambda: client(f"{HOST}:{running.options.port}"))
        report.run("the client with a wrong argument", wrong_argument)
    return report.finish()


def program(name):
    """Returns the path of an example."""
    return os.path.join(BUILD, "debug", name)


def build():
    """Builds both programs."""
    result = subprocess.run(["swift", "build", "--package-path", EXAMPLES, "--scratch-path", BUILD],
                            capture_output=True, text=True, check=False)
    output = result.stdout + result.stderr
    if result.returncode != 0 or "warning:" in output:
        lines = [line for line in output.splitlines() if "error:" in line or "warning:" in line]
        raise Failure("; ".join(lines[:3]) or output[-800:])


def through_embedded(directory):
    """The embedded server starts, relays between two clients, and ends with SIGTERM."""
    output, log = (os.path.join(directory, name) for name in ("output.txt", "log.txt"))
    with open(output, "wb") as file:
        running = processes.start(
            [program("embedded-server"), f"{HOST}:{PORT}", USER, PASSWORD], log, stdout=file,
            stdin=subprocess.DEVNULL, env={**os.environ, "XDG_STATE_HOME": directory})
    try:
        if not processes.wait_for_line(log, r"\bready\b", running, SECONDS):
            raise Failure(processes.tail(log))
        figures = client(f"{HOST}:{PORT}")
        running.terminate()
        if running.wait(SECONDS) != 0:
            raise Failure(f"the server ended with status {running.returncode}: {processes.tail(log)}")
        return figures
    finally:
        processes.stop(running)


def client(address):
    """Data from one allocation arrives at the other, from the first one's relayed address."""
    result = subprocess.run([program("relay-client"), address, USER, PASSWORD], capture_output=True, text=True,
                            timeout=SECONDS, check=False)
    said = result.stdout.strip()
    if result.returncode != 0 or not re.fullmatch(r'127\.0\.0\.1:\d+ received "hello" from 127\.0\.0\.1:\d+', said):
        raise Failure(f"status {result.returncode}: {(result.stdout + result.stderr).strip()[-400:]}")
    return {"said": said}


def wrong_argument():
    """A wrong argument gives a usage line and exit status 64."""
    result = subprocess.run([program("relay-client"), "nonsense"], capture_output=True, text=True, timeout=SECONDS,
                            check=False)
    if result.returncode != 64 or not result.stderr.startswith("usage:"):
        raise Failure(f"status {result.returncode}: {result.stderr[-200:]}")


if __name__ == "__main__":
    sys.exit(main())
