"""Prints the results of tests, as JSON and as text, and counts the failures."""

import json
import threading
import time


class Failure(Exception):
    """A fault of the server (or of the test's environment), described by the text."""


class Report:
    """Collects verdicts. Each case prints one JSON line with its numbers, then one line of text."""

    def __init__(self, suite):
        self.suite = suite
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self._printing = threading.Lock()  # suites may run cases in parallel

    def run(self, name, function):
        """Runs one case: `function` returns its numbers or raises `Failure`. Returns whether it passed."""
        start = time.monotonic()
        try:
            figures, error = function() or {}, None
        except Failure as failure:
            figures, error = getattr(failure, "figures", {}), str(failure)
        except (OSError, RuntimeError, ValueError, KeyError, TimeoutError) as failure:
            figures, error = {}, f"{type(failure).__name__}: {failure}"
        seconds = round(time.monotonic() - start, 2)
        line = {"suite": self.suite, "case": name, "ok": error is None, "seconds": seconds, **figures}
        seconds = line["seconds"]  # a case that ran in the background measures its own time
        if error is not None:
            line["error"] = error
        with self._printing:
            print(json.dumps(line), flush=True)
            if error is None:
                self.passed += 1
                print(f"PASS  {name} ({seconds} s)", flush=True)
            else:
                self.failed += 1
                print(f"FAIL  {name} ({seconds} s): {error}", flush=True)
        return error is None

    def skip(self, name, reason):
        """Reports that something was not tested."""
        self.skipped += 1
        print(json.dumps({"suite": self.suite, "case": name, "skipped": reason}), flush=True)
        print(f"SKIP  ********** {name}: {reason} **********", flush=True)

    def finish(self):
        """Prints the totals and returns the exit status: the number of failures."""
        print(f"{self.suite}: {self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return min(self.failed, 100)
