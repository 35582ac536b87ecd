#!/usr/bin/python3
"""deploy/systemd/turnpike.service under a real systemd: its start, an upgrade under load, a reload and a stop.

systemd is process 1 of its own namespaces, on a copy-on-write view of this host's files, so nothing of the host changes.
As root, with systemd and overlayfs. Exit status: the number of failed cases.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

import server
from report import Failure, Report

UNIT = os.path.join(server.REPOSITORY, "deploy", "systemd", "turnpike.service")
USERS = os.path.join(server.REPOSITORY, "deploy", "systemd", "sysusers.conf")
USER = ("alice", "secret")
ALLOCATIONS = 200
SECONDS = 6
CONFIGURATION = f"""auth: {{ users: {{ {USER[0]}: {USER[1]} }} }}
listeners: [ udp://127.0.0.1:3478, tcp://127.0.0.1:3478 ]
relay: {{ addresses: [ 127.0.0.1 ] }}
peers: {{ allow: [ 127.0.0.0/8 ] }}
limits: {{ allocations-per-user: 0, allocations-per-address: 0 }}
"""
# Process 1 gets the named hierarchy of control groups alone, which it needs to follow processes.
BOOT = r"""set -e
mount --make-rprivate / && mount -t tmpfs tmpfs "$1" && cd "$1" && mkdir up work root
mount -t overlay overlay -o lowerdir=/,upperdir="$1"/up,workdir="$1"/work root
mount -t proc proc root/proc && mount -t sysfs sysfs root/sys && mount -t tmpfs tmpfs root/sys/fs/cgroup
mkdir root/sys/fs/cgroup/systemd && mount -t cgroup -o none,name=systemd cgroup root/sys/fs/cgroup/systemd
mount -t tmpfs tmpfs root/run && mount -t tmpfs tmpfs root/tmp && mount --rbind /dev root/dev
rm -rf root/etc/systemd/system/*.wants root/etc/systemd/system/default.target root/etc/machine-id
echo 0123456789abcdef0123456789abcdef > root/etc/machine-id
printf '[Unit]\nAllowIsolate=yes\n' > root/etc/systemd/system/interop.target
mkdir -p root/etc/turnpike && printf %s "$2" > root/etc/turnpike/turnpike.yml
cp "$3" root/usr/bin/turnpike && cp "$4" root/usr/bin/turnload
cp "$5" root/etc/systemd/system/turnpike.service && cp "$6" root/usr/lib/sysusers.d/turnpike.conf
ip link set lo up
exec env -i container=interop PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot root /lib/systemd/systemd --system \
  --unit=interop.target --show-status=0
"""


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report = Report("systemd")
    if arguments.server != "turnpike" or os.geteuid() != 0 or not os.access("/lib/systemd/systemd", os.X_OK):
        report.skip("everything", "not root, or systemd is not installed; NO UNIT WAS STARTED")
        return report.finish()
    with tempfile.TemporaryDirectory(prefix="turnpike-interop-systemd-", dir="/var/tmp") as directory:
        try:
            system = System(arguments, directory)
        except Failure as failure:
            report.skip("everything", f"systemd cannot be process 1 here: {failure}; NO UNIT WAS STARTED")
            return report.finish()
        try:
            report.run("the unit starts, with everything hardened", lambda: starts(system))
            report.run(f"an upgrade with {ALLOCATIONS} relays under load", lambda: upgrades(system))
            report.run("a reload reaches the newer process, and a stop ends it", lambda: stops(system))
        finally:
            system.close()
    return report.finish()


class System:
    """A systemd that is process 1 of its own namespaces."""

    def __init__(self, arguments, directory):
        program = server.program(arguments)
        load = server.built("turnload", os.path.join(os.path.dirname(program), "turnload"))
        if load is None:
            raise Failure("turnload is not built")
        self.log = os.path.join(directory, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--cgroup", "--net", "sh",
                 "-c", BOOT, "boot", _folder(directory), CONFIGURATION, program, load, UNIT, USERS],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            self.first = _child(self.process.pid)
            if self.first and self.run("systemctl", "is-system-running", check=False).stdout.strip() in (
                    "running", "degraded"):
                break
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.close()
                with open(self.log, encoding="utf-8", errors="replace") as log:
                    raise Failure(log.read()[-500:])
            time.sleep(0.1)
        self.run("systemd-sysusers", "/usr/lib/sysusers.d/turnpike.conf")
        self.run("sh", "-c", "chown -R root:turnpike /etc/turnpike && chmod 750 /etc/turnpike && "
                 "chmod 640 /etc/turnpike/turnpike.yml && systemctl daemon-reload")

    def command(self, *words):
        """The command that runs these words inside."""
        return ["nsenter", "-t", str(self.first), "-p", "-m", "-u", "-i", "-n", "-C", "-r", "-w", *words]

    def run(self, *words, check=True, seconds=60, environment=None):
        """Runs a command inside; raises `Failure` with its output."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, errors="replace", timeout=seconds,
                              check=False, stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
        if check and done.returncode:
            raise Failure(f"{' '.join(words)}: {(done.stdout + done.stderr).strip()[-800:]}\n{self.journal()[-1500:]}")
        return done

    def journal(self):
        """The unit's log."""
        return self.run("journalctl", "-u", "turnpike", "--no-pager", "-o", "cat", check=False).stdout

    def unit(self):
        """The unit's properties in systemd."""
        names = "MainPID,ActiveState,SubState,NRestarts,Result,ExecMainStatus"
        said = self.run("systemctl", "show", "turnpike", "-p", names).stdout
        return dict(line.split("=", 1) for line in said.split("\n") if "=" in line)

    def await_line(self, pattern, seconds=10):
        """Waits for a line of the unit's log."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.journal(), re.MULTILINE)):
            if time.monotonic() > deadline:
                raise Failure(f"no line {pattern}: {self.journal()[-1500:]}")
            time.sleep(0.1)
        return match

    def close(self):
        """Ends process 1, and with it all others."""
        self.process.kill()
        self.process.wait()


def starts(system):
    """The unit is active when all listeners are open; every measure of hardening is on."""
    system.run("systemctl", "start", "turnpike")
    state = system.unit()
    if state["ActiveState"] != "active":
        raise Failure(f"{state}")
    system.await_line(r"\bhardened\b.* capabilities=none ")
    if "hardening-incomplete" in system.journal():
        raise Failure(system.journal()[-1500:])
    status = system.run("cat", f"/proc/{state['MainPID']}/status").stdout
    if (bits := re.search(r"^CapPrm:\s*(\w+)", status, re.MULTILINE).group(1)).strip("0"):
        raise Failure(f"its capabilities are {bits}")
    return {"main": int(state["MainPID"])}


def upgrades(system):
    """The newer process is the unit's main one, the unit stays active, and no packet is lost."""
    before = system.unit()
    answers = []

    def upgrade():
        done = system.run("turnpike", "upgrade", "--json", check=False)
        answers.append(json.loads(done.stdout) if done.returncode == 0 else done.stderr)

    timer = threading.Timer(SECONDS / 2, upgrade)
    timer.start()
    load = json.loads(system.run(
        "turnload", "relay", "--direction", "echo", "--allocations", str(ALLOCATIONS), "--rate", "1000", "--duration",
        str(SECONDS), "--json", "turn:127.0.0.1:3478", check=False,
        environment={"TURNLOAD_USERNAME": USER[0], "TURNLOAD_PASSWORD": USER[1]}).stdout)
    timer.join()
    if not answers or isinstance(answers[0], str) or answers[0]["allocations"] != ALLOCATIONS:
        raise Failure(f"turnpike upgrade: {answers}: {system.journal()[-1500:]}")
    if load["lost"] or load["failures"]:
        raise Failure(f"{load['lost']} of {load['sent']} packets lost, {load['failures']} failures")
    system.await_line(r"^.*\bstopped\b")
    after = system.unit()
    if after["MainPID"] != str(answers[0]["process"]) or after["MainPID"] == before["MainPID"]:
        raise Failure(f"before: {before}, after: {after}, answer: {answers[0]}")
    if (after["ActiveState"], after["NRestarts"], after["Result"]) != ("active", "0", "success"):
        raise Failure(f"{after}")
    return {"sent": load["sent"], "lost": load["lost"], "main_before": int(before["MainPID"]), **answers[0]}


def stops(system):
    """systemd's reload, signal and stop reach the newer process."""
    system.run("systemctl", "reload", "turnpike")
    system.await_line(r"\breloaded\b")
    system.run("systemctl", "kill", "-s", "USR2", "--kill-whom=main", "turnpike")
    # The stop follows this line at once, while the older process may still exist.
    system.await_line(r"(?s)\bupgraded\b.*\bupgraded\b")
    if "is not our child" in system.journal():
        raise Failure("systemd is not the newer process's parent, so a stop would kill it without its drain")
    system.run("systemctl", "stop", "turnpike")
    state = system.unit()
    if (state["ActiveState"], state["Result"], state["NRestarts"]) != ("inactive", "success", "0"):
        raise Failure(f"{state}: {system.journal()[-3000:]}")
    return state


def _folder(directory):
    """A folder for the view of the host's files."""
    path = os.path.join(directory, "system")
    os.mkdir(path)
    return path


def _child(process):
    """The process that `unshare` has started, process 1 inside; None before."""
    try:
        with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as file:
            children = file.read().split()
        return int(children[0]) if children else None
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(main())
