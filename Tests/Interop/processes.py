"""Child processes that end with the script, and waiting for what they print."""

import os
import re
import signal
import subprocess
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
