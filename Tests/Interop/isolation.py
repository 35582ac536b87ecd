"""Runs a test script inside namespaces of its own.

In a private network namespace the ports are free, nothing leaves the machine and no other server answers by mistake;
in a private PID namespace nothing outlives the script, whatever the browsers have started.
"""

import os
import shutil
import signal
import subprocess
import sys

_MARK = "TURNPIKE_INTEROP_ISOLATED"
_PROBE = ["ip", "link", "set", "lo", "up"]  # where namespaces are given without any right in them, this fails


def _commands():
    """The ways to get namespaces, the best first. An ordinary user gets them through a user namespace."""
    base = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=TERM"]
    if os.geteuid() != 0:
        base.append("--map-root-user")
    return [base + ["--mount-proc"], base]


def isolated():
    """Whether this process already runs in namespaces of its own."""
    return os.environ.get(_MARK) == "1"


def enter(required):
    """Starts the running script again inside namespaces, once; returns only there or where there are none.

    Answers whether the script is isolated. With `required` the caller can't do without and should skip if not.
    """
    if isolated():
        _prepare()
        return True
    if shutil.which("unshare"):
        for command in _commands():
            if subprocess.run(command + _PROBE, capture_output=True, check=False).returncode == 0:
                environment = dict(os.environ, **{_MARK: "1"})
                arguments = command + [sys.executable, os.path.abspath(sys.argv[0])] + sys.argv[1:]
                sys.stdout.flush()
                os.execvpe(arguments[0], arguments, environment)
    if not required:
        print("NOTE: no private namespaces here (unshare is refused); using the ordinary loopback", flush=True)
    return False


def _prepare():
    """Loopback up, and a private place for the names of further network namespaces."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # PID 1 has no default action; and clean up on the way
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.makedirs("/run/netns", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=False, capture_output=True)


def look_like_a_laptop():
    """An interface with private addresses and default routes that lead nowhere.

    Firefox gathers nothing without a default route, and the server's detection of relay addresses begins there.
    """
    for command in ("link add net0 type veth peer name net1", "link set net1 up", "link set net0 up",
                    "address add 10.77.0.2/24 dev net0", "address add fd77::2/64 dev net0 nodad",
                    "route add default via 10.77.0.1", "-6 route add default via fd77::1"):
        subprocess.run(["ip"] + command.split(), check=False, capture_output=True)
