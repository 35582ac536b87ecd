"""Child processes that end with the script, and waiting for what they print."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time


def start(command, log, **options):
    """Starts `command` in a session of its own with its errors in the file `log`."""
    with open(log, "ab") as errors:
        return subprocess.Popen(command, stderr=errors, start_new_session=True, **options)


def stop(process, seconds=5):
    """Asks the whole process group to end, then insists. Answers the exit status."""
    if process is None:
        return None
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass
        try:
            process.wait(patience)
            break
        except subprocess.TimeoutExpired:
            continue
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    return process.returncode


class Owned:
    """A process with a folder of its own; a context manager that ends the one and removes the other."""

    def __init__(self, name, log):
        self.directory = tempfile.mkdtemp(prefix=f"turnpike-interop-{name}-")
        self.log = os.path.join(self.directory, log)
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def begin(self, start):
        """Calls `start`, which starts the process; nothing is left behind where that fails."""
        try:
            start()
        except BaseException:
            self.close()
            raise

    def close(self):
        """Ends the process and removes the folder."""
        stop(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)


def wait_for_line(path, pattern, process, seconds):
    """Waits until a line of the file `path` matches; answers the match, or None if the time or the process ended."""
    expression = re.compile(pattern, re.MULTILINE)
    deadline = time.monotonic() + seconds
    while True:
        ended = process.poll() is not None
        match = expression.search(text(path))
        if match or ended or time.monotonic() > deadline:
            return match
        time.sleep(0.02)


def text(path):
    """The content of a log file, empty if there is none yet."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def tail(path, lines=15):
    """The last lines of a log file, for a failure's message."""
    return "\n".join(text(path).splitlines()[-lines:])
