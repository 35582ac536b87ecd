"""Podman with its storage in a separate folder, and base images made from Debian's packages.

No registry is used: `debian:bookworm-slim` is made by debootstrap, and `swift:6.3-bookworm` is the same with the
packages of the official image and the toolchain of this machine, which is mounted while the image is built.
"""

import glob
import json
import os
import shutil
import subprocess
import sys

from report import Failure

# Hosts whose limits cannot be raised refuse podman's defaults.
LIMITS = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"]

RUNTIME_BASE = "docker.io/library/debian:bookworm-slim"
BUILD_BASE = "docker.io/library/swift:6.3-bookworm"

BUILD_BASE_FILE = f"""
FROM {RUNTIME_BASE}
RUN apt-get update && apt-get install -y --no-install-recommends binutils git gnupg2 libc6-dev \\
  libcurl4-openssl-dev libedit2 libgcc-12-dev libncurses-dev libpython3-dev libsqlite3-0 libstdc++-12-dev libxml2-dev \\
  libz3-dev pkg-config tzdata zlib1g-dev
ENV PATH=/opt/swift/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""

# The official image's docker-clean: apt keeps no copies.
CLEAN = """
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
"""

_MARK = "TURNPIKE_INTEROP_MOUNTS"


def enter_mount_namespace():
    """Starts the script again with its own mounts, once, because podman does not support hybrid control groups."""
    if os.environ.get(_MARK) != "1":
        environment = dict(os.environ, **{_MARK: "1"})
        sys.stdout.flush()
        os.execvpe("unshare", ["unshare", "--mount", sys.executable, os.path.abspath(sys.argv[0])] + sys.argv[1:],
                   environment)
    if os.path.isdir("/sys/fs/cgroup/unified"):
        subprocess.run(["umount", "/sys/fs/cgroup/unified"], check=False, capture_output=True)


class Podman:
    """Runs podman; `directory` holds its storage, `prefix` is the command that runs it (see `nsenter`)."""

    def __init__(self, directory):
        self.directory = directory
        self.prefix = []
        self.options = ["--root", os.path.join(directory, "storage"), "--runroot", os.path.join(directory, "run"),
                         "--cgroup-manager", "cgroupfs", "--events-backend", "none"]

    def run(self, *arguments, seconds=60, check=True, text=None):
        """Runs one podman command; returns the completed process."""
        command = self.prefix + ["podman"] + self.options + list(arguments)
        try:
            result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds,
                                    check=False, input=text, stdin=None if text else subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            raise Failure(f"no end after {seconds} s: podman {' '.join(arguments)}") from None
        if check and result.returncode != 0:
            raise Failure(f"podman {' '.join(arguments)}: {(result.stdout + result.stderr).strip()[-1500:]}")
        return result

    def has(self, image):
        """Whether the image exists."""
        return self.run("image", "exists", image, check=False).returncode == 0

    def inspect(self, kind, name):
        """Returns podman's description of an image or a container."""
        return json.loads(self.run("inspect", "--type", kind, name).stdout)[0]

    def make_bases(self, toolchain):
        """Makes the missing base images; the build image needs this machine's Swift toolchain."""
        if not self.has(RUNTIME_BASE):
            root = os.path.join(self.directory, "debian")
            _command(["debootstrap", "--variant=minbase", "bookworm", root, "http://deb.debian.org/debian"], 900)
            for package in glob.glob(f"{root}/var/cache/apt/archives/*.deb"):
                os.remove(package)
            with open(f"{root}/etc/apt/apt.conf.d/docker-clean", "w", encoding="ascii") as file:
                file.write(CLEAN)
            archive = root + ".tar"
            _command(["tar", "-C", root, "-cf", archive, "."], 120)
            self.run("import", archive, RUNTIME_BASE, seconds=300)
            shutil.rmtree(root, ignore_errors=True)
            os.remove(archive)
        if not self.has(BUILD_BASE):
            file = os.path.join(self.directory, "build-base")
            with open(file, "w", encoding="ascii") as output:
                output.write(BUILD_BASE_FILE)
            self.build(file, BUILD_BASE, self.directory, [])
        if not os.access(os.path.join(toolchain, "usr/bin/swift"), os.X_OK):
            raise Failure(f"no Swift toolchain in {toolchain}")

    def build(self, file, tag, context, options):
        """Builds an image without a registry."""
        self.run("build", "--pull=never", "--network", "host", "--format", "docker", *LIMITS, *options,
                 "-f", file, "-t", tag, context, seconds=1500)


def _command(command, seconds):
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    if result.returncode != 0:
        raise Failure(f"{' '.join(command)}: {(result.stdout + result.stderr).strip()[-800:]}")
