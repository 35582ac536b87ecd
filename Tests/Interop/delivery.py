#!/usr/bin/python3
"""What operators install: the notifications for systemd, the unit, the manifests for Kubernetes, and the Debian package.

With --root FOLDER, an unpacked Debian (debootstrap --variant=minbase bookworm FOLDER), the package is installed,
upgraded, removed and purged there. Exit status: the number of failed cases.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import isolation
import server
from report import Failure, Report

DEPLOY = os.path.join(server.REPOSITORY, "deploy")
WATCHDOG = 1.8  # seconds

# Breaks the relay path: the listener gets no datagram.
FAULT = "table ip fault { chain in { type filter hook input priority filter; udp dport 3478 drop; }; }\n"


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__, root="an unpacked Debian, for the package")
    report = Report("delivery")
    if arguments.server == "coturn" or server.program(arguments) is None:
        report.skip("everything", "the server is not built, or not the one that it is for")
        return report.finish()
    isolated = isolation.enter(required=False)
    report.run("systemd is told of the start, of life, of reloads and of the end", lambda: notifications(arguments))
    if isolated and shutil.which("nft"):
        report.run("a server that relays nothing is not alive", lambda: broken(arguments))
    else:
        report.skip("a server that relays nothing is not alive", "there are no namespaces, or no nft")
    if shutil.which("systemd-analyze"):
        report.run("the unit exposes little", exposure)
    else:
        report.skip("the unit exposes little", "systemd-analyze is not installed")
    if shutil.which("kubectl"):
        for form in ("host-network", "load-balancer"):
            report.run(f"Kubernetes, {form}", lambda form=form: manifests(form, arguments))
    else:
        report.skip("Kubernetes", "kubectl is not installed")
    if is_static(server.program(arguments)):
        report.run("the package", lambda: package(arguments))
    else:
        report.skip("the package", "the programs need the toolchain's libraries: build with --static-swift-stdlib")
    return report.finish()


class Manager:
    """The socket of a service manager."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)

    def close(self):
        """Closes the socket."""
        self.socket.close()

    def next(self, seconds=10):
        """The next state, as lines."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(4096).decode().split("\n")
        except TimeoutError as error:
            raise Failure("no state arrived") from error

    def forget(self):
        """Drops the states that have arrived."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(4096)

    def after_pulses(self, seconds=10):
        """The next state that is no WATCHDOG=1."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.next(end - time.monotonic())
            if state != ["WATCHDOG=1"]:
                return state
        raise Failure("only WATCHDOG=1 arrived")


def notifications(arguments):
    """Each state arrives, and WATCHDOG=1 at least twice in its interval."""
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Manager(folder)) as manager:
        return talk(arguments, manager)


def broken(arguments):
    """Without the relay path WATCHDOG=1 is not sent, although every thread works, and the log has the reason."""
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(Manager(folder)) as manager, \
            server.Server(arguments, watched(manager)) as running:
        if manager.next() != ["READY=1"]:
            raise Failure("READY=1 did not arrive")
        manager.next(WATCHDOG)
        subprocess.run(["nft", "-f", "-"], input=FAULT, text=True, check=True)
        try:
            time.sleep(1.2)  # an outcome is kept for a second
            manager.forget()
            silence(manager, 2 * WATCHDOG)
        finally:
            subprocess.run(["nft", "delete", "table", "ip", "fault"], check=True)
        if manager.next(5) != ["WATCHDOG=1"]:
            raise Failure("WATCHDOG=1 did not arrive again")
        with open(running.log, encoding="utf-8") as file:
            line = re.search(r'error relay-path-broken reason="([^"]*)"', file.read())
        if not line:
            raise Failure(f"no line relay-path-broken\n{running.explain()}")
        return {"reason": line.group(1)}


def silence(manager, seconds):
    """Fails if a state arrives within this time."""
    try:
        state = manager.next(seconds)
    except Failure:
        return
    raise Failure(f"{state} while nothing is relayed")


def watched(manager):
    """A server that systemd watches."""
    return server.Options(users={"alice": "secret"}, settings={"drain-timeout": "0s"}, prefix=[
        "env", f"NOTIFY_SOCKET={manager.path}", f"WATCHDOG_USEC={int(WATCHDOG * 1_000_000)}"])


def talk(arguments, manager):
    """The states of one server's life."""
    with server.Server(arguments, watched(manager)) as running:
        first = manager.next()
        if first != ["READY=1"]:
            raise Failure(f"{first} at the start")
        span = rhythm(manager)
        running.process.send_signal(signal.SIGHUP)
        state = manager.after_pulses()
        if state[0] != "RELOADING=1" or not re.fullmatch(r"MONOTONIC_USEC=\d+", state[1]):
            raise Failure(f"{state} at SIGHUP")
        age = time.clock_gettime(time.CLOCK_MONOTONIC) - int(state[1].split("=")[1]) / 1_000_000
        if not 0 <= age < 10:
            raise Failure(f"MONOTONIC_USEC is {age} s old")
        if (state := manager.after_pulses()) != ["READY=1"]:
            raise Failure(f"{state} after the reload")
        running.process.send_signal(signal.SIGTERM)
        if (state := manager.after_pulses()) != ["STOPPING=1"]:
            raise Failure(f"{state} at SIGTERM")
        running.process.wait(10)
        return {"three pulses in seconds": round(span, 2)}


def rhythm(manager):
    """The time of three pulses: three times in each interval of the watchdog, and no more often."""
    if (state := manager.next(WATCHDOG)) != ["WATCHDOG=1"]:
        raise Failure(f"{state} in place of WATCHDOG=1")
    manager.forget()
    begin = time.monotonic()
    for _ in range(3):
        if (state := manager.next(WATCHDOG)) != ["WATCHDOG=1"]:
            raise Failure(f"{state} in place of WATCHDOG=1")
    span = time.monotonic() - begin
    if not WATCHDOG / 2 < span < 3 * WATCHDOG:
        raise Failure(f"three pulses in {span:.1f} s")
    return span


def exposure():
    """systemd-analyze gives at most 2.0, and finds no mistake but the programs and manuals that are not installed."""
    unit = os.path.join(DEPLOY, "systemd", "turnpike.service")
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for turnpike.service: ([\d.]+)", done.stdout)
    if not found or float(found.group(1)) > 2.0:
        raise Failure(done.stdout[-2000:] + done.stderr)
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    remarks = [line for line in done.stderr.splitlines() if "/turnpike.service:" in line or line.startswith("turnpike.service:")]
    remarks = [line for line in remarks if "is not executable" not in line and "Command 'man " not in line]
    if remarks:
        raise Failure("\n".join(remarks))
    return {"exposure": float(found.group(1))}


def manifests(form, arguments):
    """kubectl builds the manifests, the image has this version, and the server accepts the configuration."""
    done = subprocess.run(["kubectl", "kustomize", os.path.join(DEPLOY, "kubernetes", form)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(done.stderr)
    with open(os.path.join(server.REPOSITORY, "Sources", "CommandLine", "Version.swift"), encoding="utf-8") as file:
        version = re.search(r'version = "(.*)"', file.read()).group(1)
    if (image := re.search(r"image: (.*)", done.stdout).group(1)) != f"turnpike:{version}":
        raise Failure(f"the image is {image}, the version {version}")
    block = re.search(r"^  turnpike\.yml: \|[-+]?\n((?:    .*\n|\n)+)", done.stdout, re.MULTILINE)
    if not block:
        raise Failure("there is no configuration in the ConfigMap")
    lines = block.group(1).splitlines()
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write("\n".join(line[4:] for line in lines) + "\n")
        file.flush()
        os.chmod(file.name, 0o600)
        environment = {"PATH": os.environ["PATH"], "TURNPIKE_AUTH_SECRETS": "for-a-test-only", "TURNPIKE_ADMIN_TOKEN": "of-this-test",
                       "TURNPIKE_RELAY_ADDRESSES": "127.0.0.1", "TURNPIKE_ADMIN_LISTEN": "127.0.0.1:8478", "TURNPIKE_STATE_DIRECTORY": tempfile.gettempdir()}
        done = subprocess.run([server.program(arguments), "check", "--config", file.name], capture_output=True, text=True,
                              env=environment, check=False)
        if done.returncode or "error" in done.stderr:
            raise Failure(done.stderr)
    return {}


def is_static(program):
    """Whether the program contains Swift's libraries."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return done.returncode == 0 and "libswiftCore" not in done.stdout


def package(arguments):
    """Two runs give the same bytes; with --root the package is installed, upgraded, removed and purged."""
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for name in ("first", "second"):
            done = subprocess.run([os.path.join(DEPLOY, "package"), os.path.join(folder, name)], capture_output=True, text=True,
                                  env={**os.environ, "BUILD": os.path.dirname(server.program(arguments))}, check=False)
            if done.returncode:
                raise Failure(done.stderr)
            made.append(done.stdout.strip())
        contents = [open(path, "rb").read() for path in made]
        if contents[0] != contents[1]:
            raise Failure("two packages of one build differ")
        if arguments.root:
            in_root(arguments.root, made[0])
        return {"KiB": len(contents[0]) // 1024}


def in_root(root, file):
    """Installs, upgrades, removes and purges the package in an unpacked Debian."""
    shutil.copy(file, os.path.join(root, "turnpike.deb"))
    # A Swift program reads its arguments from /proc.
    mounted = subprocess.run(["mount", "-t", "proc", "proc", os.path.join(root, "proc")], check=False).returncode == 0
    try:
        life_in_root(root)
    finally:
        if mounted:
            subprocess.run(["umount", os.path.join(root, "proc")], check=False)


def life_in_root(root):
    """Runs the commands from the installation to the purge."""

    def run(command, expected=0):
        done = subprocess.run(["chroot", root, "sh", "-c", command], capture_output=True, text=True, check=False,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"})
        if done.returncode != expected:
            raise Failure(f"{command}: status {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
        return done.stdout

    run("apt-get install -y --no-install-recommends /turnpike.deb")
    run("stunclient --version && turnload --version && turnpike --version")
    modes = run("stat -c '%n %U:%G %a' /etc/turnpike /etc/turnpike/turnpike.yml /var/lib/turnpike").splitlines()
    if modes != ["/etc/turnpike root:turnpike 750", "/etc/turnpike/turnpike.yml root:turnpike 640", "/var/lib/turnpike turnpike:turnpike 700"]:
        raise Failure("\n".join(modes))
    run("turnpike check --config /etc/turnpike/turnpike.yml")
    run("echo 'realm: kept.example' >> /etc/turnpike/turnpike.yml && touch /var/lib/turnpike/users")
    run("dpkg -i --force-confold /turnpike.deb && grep -q kept.example /etc/turnpike/turnpike.yml")
    run("dpkg -r turnpike && test -f /etc/turnpike/turnpike.yml && test -f /var/lib/turnpike/users && ! test -e /usr/bin/turnpike")
    run("test -e /var/lib/turnpike/.removed && dpkg -i --force-confold /turnpike.deb && ! test -e /var/lib/turnpike/.removed")
    run("dpkg -P turnpike && ! test -e /etc/turnpike && ! test -e /var/lib/turnpike")
    if left := run("dpkg -L turnpike 2>/dev/null; find / -xdev -name '*turnpike*' -not -path '/proc/*' -not -name turnpike.deb").strip():
        raise Failure(f"left behind: {left}")


if __name__ == "__main__":
    sys.exit(main())
