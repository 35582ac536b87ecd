#!/usr/bin/env python3
"""Plants one fault after another in the sources, and counts those that the tests notice.

  Tests/Faults/faults.py                   all faults
  Tests/Faults/faults.py --only TURN       the faults in files whose path contains this word
  Tests/Faults/faults.py --every 3         every third of them
  Tests/Faults/faults.py --list            lists the faults, without planting any
  Tests/Faults/faults.py --check           only checks that the sources still contain each text

Works in a copy of the sources with its own build folder (.build/faults), so the tree is never changed. A row of
table.py has one of these results:

  noticed   a test fails, or the tests take too long
  MISSED    every test passes: a test is missing
  STALE     the text to replace is not found exactly once: the row must be corrected
  INVALID   the program with the fault does not build: the row proves nothing and must be corrected

The exit status is the number of rows (at most 255) that are not "noticed".
"""

import argparse
import filecmp
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from table import FAULTS

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
COPY = os.path.join(ROOT, ".build", "faults")


def copy_sources():
    """Copies the present sources; unchanged files keep their time, so that little is built again."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")
    names = {name for name in listed if name and os.path.isfile(os.path.join(ROOT, name))}
    for name in names:
        source, target = os.path.join(ROOT, name), os.path.join(COPY, name)
        if not os.path.exists(target) or not filecmp.cmp(source, target, shallow=False):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target)
    for folder, folders, files in os.walk(COPY):
        if folder == COPY:
            folders[:] = [name for name in folders if name != ".build"]
        for file in files:
            if os.path.relpath(os.path.join(folder, file), COPY) not in names:
                os.remove(os.path.join(folder, file))


def run(words, seconds):
    """Returns exit status and output; None as the status after the timeout. Ends every child process."""
    with subprocess.Popen(words, cwd=COPY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", start_new_session=True) as child:
        try:
            output, _ = child.communicate(timeout=seconds)
            return child.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return None, ""


def build():
    """Returns None if the tests build, else the first error."""
    status, output = run(["swift", "build", "--build-tests"], 1200)
    if status == 0:
        return None
    return next((line for line in output.splitlines() if "error:" in line), f"status {status}").strip()[-120:]


@functools.cache
def alone():
    """The prefix of a command that gets its own network: a port that another program uses must not count as noticed.

    Empty if namespaces are impossible.
    """
    words = ["unshare", "--net"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    words += ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    try:
        possible = subprocess.run(words + ["true"], capture_output=True, check=False).returncode == 0
    except OSError:
        possible = False
    if not possible:
        print("NOTE: no private network here (unshare is refused); other programs' ports may disturb the tests", flush=True)
    return words if possible else []


def test(tests):
    """Returns None if all these tests pass, else the first failure."""
    status, output = run(alone() + ["swift", "test", "--skip-build", "--filter", tests, "--skip",
                                  "mutations|randomWalk|Mutation"], 300)
    if status == 0:
        return None
    if status is None:
        return "the tests took longer than 300 s"
    return next((line for line in output.splitlines() if "recorded an issue" in line or "Fatal error" in line),
                f"status {status}").strip()[:160]


def swift_files(folder):
    """Returns the paths of all Swift files below a folder of the repository."""
    return sorted(os.path.join(parent, name) for parent, _, names in os.walk(os.path.join(ROOT, folder))
                  for name in names if name.endswith(".swift"))


def read(path):
    """Returns the text of a file; empty if it does not exist."""
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def occurrences(fault, text):
    """Returns the places of the right text as (start, end); line breaks and indentation may differ from the row's."""
    exact = [(found.start(), found.end()) for found in re.finditer(re.escape(fault.right), text)]
    if exact:
        return exact
    loose = r"\s+".join(re.escape(word) for word in fault.right.split())
    return [(found.start(), found.end()) for found in re.finditer(loose, text)]


def locate(fault):
    """Returns the file, relative to the repository, and the range of the fault's text; or None and why it is stale.

    Code moves between the files of a module: if the row's file does not have the text, the module is searched."""
    found = [(fault.file, place) for place in occurrences(fault, read(os.path.join(ROOT, fault.file)))]
    if not found:
        module = os.path.join(*fault.file.split("/")[:2])
        found = [(os.path.relpath(path, ROOT), place) for path in swift_files(module)
                 for place in occurrences(fault, read(path))]
    if len(found) == 1:
        return found[0], None
    where = "not found in the module" if not found else f"found {len(found)} times"
    return None, f"{where}: {fault.right[:80]!r}; mend Tests/Faults/table.py"


def write(path, text):
    """Replaces the file's text."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def outcome(fault, place):
    """Plants one fault, builds, tests, restores: "noticed", "MISSED" or "INVALID", and the details."""
    file, (start, end) = place
    path = os.path.join(COPY, file)
    text = read(path)
    write(path, text[:start] + fault.wrong + text[end:])
    try:
        refused = build()
        if refused:
            return "INVALID", refused
        failed = test(fault.tests)
        return ("noticed", failed) if failed else ("MISSED", "every test passes")
    finally:
        write(path, text)


def report(number, result, fault, details, seconds=None):
    """One line for one row."""
    time_taken = f" ({seconds:.0f} s)" if seconds is not None else ""
    print(f"{number:3} {result:7} {fault.file}: {fault.what}{time_taken}: {details}", flush=True)


def main():
    """Checks every text, then plants, tests, restores and counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="faults of files whose path has this word")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th of them: a sample of all modules")
    parser.add_argument("--list", action="store_true", help="only name them")
    parser.add_argument("--check", action="store_true", help="only look for the text of each row")
    arguments = parser.parse_args()
    chosen = [fault for fault in FAULTS if arguments.only in fault.file][::max(arguments.every, 1)]
    if not chosen:
        parser.error(f"no row has {arguments.only!r} in its path")
    if arguments.list:
        for fault in chosen:
            print(f"{fault.file}: {fault.what}")
        return 0

    counts = {"noticed": 0, "MISSED": 0, "STALE": 0, "INVALID": 0}
    places = []
    for number, fault in enumerate(chosen, 1):
        place, stale = locate(fault)
        places.append(place)
        if stale:
            counts["STALE"] += 1
            report(number, "STALE", fault, stale)
        elif place[0] != fault.file:
            print(f"{number:3} moved   {fault.file}: {fault.what}: now in {place[0]}", flush=True)
    if arguments.check:
        print(f"{len(chosen) - counts['STALE']} of {len(chosen)} rows fit the sources, {counts['STALE']} stale")
        return min(counts["STALE"], 255)

    copy_sources()
    failed = build() or test("|".join(sorted({fault.tests for fault in chosen})))
    if failed:
        raise SystemExit(f"the tests fail without any fault: {failed}")
    for number, (fault, place) in enumerate(zip(chosen, places), 1):
        if place is None:
            continue
        start = time.monotonic()
        result, details = outcome(fault, place)
        counts[result] += 1
        report(number, result, fault, details, time.monotonic() - start)
    print(f"{counts['noticed']} of {len(chosen)} faults noticed, {counts['MISSED']} missed, {counts['STALE']} stale, "
          f"{counts['INVALID']} invalid")
    return min(len(chosen) - counts["noticed"], 255)


if __name__ == "__main__":
    sys.exit(main())
