"""Runs a test script in its own namespaces.

In a private network namespace the ports are free, no packet leaves the machine and no other server can answer;
in a private PID namespace no process outlives the script, not even those of browsers.
"""

import os
import shutil
import signal
import subprocess
import sys

_MARK = "TURNPIKE_INTEROP_ISOLATED"
_PROBE = ["ip", "link", "set", "lo", "up"]  # fails if namespaces can be created but not used


def _commands():
    """Returns the ways to get namespaces, the best first. An ordinary user needs a user namespace."""
    base = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=TERM"]
    if os.geteuid() != 0:
        base.append("--map-root-user")
    return [base + ["--mount-proc"], base]


def isolated():
    """Whether this process already runs in its own namespaces."""
    return os.environ.get(_MARK) == "1"


def enter(required):
    """Starts the running script again in namespaces, once; returns only there, or if namespaces are impossible.

    Returns whether the script is isolated. With `required` the caller must skip its cases if not.
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
    """Brings loopback up, and makes a private folder for the names of further network namespaces."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # PID 1 has no default action; an exit also cleans up
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.makedirs("/run/netns", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run/netns"], check=False, capture_output=True)


def look_like_a_laptop():
    """Makes an interface with private addresses and default routes without a destination.

    Firefox gathers no candidates without a default route, and the server detects relay addresses by it.
    """
    for command in ("link add net0 type veth peer name net1", "link set net1 up", "link set net0 up",
                    "address add 10.77.0.2/24 dev net0", "address add fd77::2/64 dev net0 nodad",
                    "route add default via 10.77.0.1", "-6 route add default via fd77::1"):
        subprocess.run(["ip"] + command.split(), check=False, capture_output=True)
