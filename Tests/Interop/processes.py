"""Child processes that end with the script, and waiting for their output."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time


def start(command, log, **options):
    """Starts `command` in its own session with its errors in the file `log`."""
    with open(log, "ab") as errors:
        return subprocess.Popen(command, stderr=errors, start_new_session=True, **options)


def stop(process, seconds=5):
    """Ends the whole process group with SIGTERM, then with SIGKILL. Returns the exit status."""
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
    """A process with its own folder; a context manager that ends the process and removes the folder."""

    def __init__(self, name, log):
        self.directory = tempfile.mkdtemp(prefix=f"turnpike-interop-{name}-")
        self.log = os.path.join(self.directory, log)
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def begin(self, start):
        """Calls `start`, which starts the process; removes everything if that fails."""
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
    """Waits until a line of the file `path` matches; returns the match, or None after timeout or process end."""
    expression = re.compile(pattern, re.MULTILINE)
    deadline = time.monotonic() + seconds
    while True:
        ended = process.poll() is not None
        match = expression.search(text(path))
        if match or ended or time.monotonic() > deadline:
            return match
        time.sleep(0.02)


def text(path):
    """Returns the content of a log file, empty if there is none yet."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def tail(path, lines=15):
    """Returns the last lines of a log file, for a failure's message."""
    return "\n".join(text(path).splitlines()[-lines:])
