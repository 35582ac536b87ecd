"""The network of a benchmark: a separate namespace without netfilter rules."""

import os
import subprocess
import sys

SERVER_NAMESPACE = "turnpike-server"
_enter = []
# Kernel threads that receive for the server.
helpers = []


def _unshared(argv):
    unshare = ["unshare", "--net", "--mount"] + ([] if os.geteuid() == 0 else ["--user", "--map-root-user"])
    return unshare + [sys.executable] + argv + ["--in-namespace", "--no-build"]


def enter_namespace(argv):
    """Starts this program again in a fresh network (and mount) namespace."""
    command = _unshared(argv)
    os.execvp(command[0], command)


def in_namespace(argv):
    """Runs the program in the namespace and returns its exit status."""
    return subprocess.run(_unshared(argv)).returncode


def enter_server():
    """Returns the command prefix for the server's namespace."""
    return list(_enter)


def run(*command, check=True):
    return subprocess.run(command, check=check, capture_output=True, text=True)


def set_up(kind, server_core, realtime=False):
    """Makes the network and returns the server's address."""
    run("ip", "link", "set", "lo", "up")
    # Clients' ports must differ from the relay ports.
    run("sysctl", "-qw", "net.ipv4.ip_local_port_range=10000 48000", check=False)
    if kind == "loopback":
        return "127.0.0.1"
    return _veth(server_core, realtime)


def _veth(server_core, realtime):
    """Makes a pair of virtual network cards; packets to the server are received on the server's own core."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run", check=False)
    run("mount", "-t", "sysfs", "sysfs", "/sys", check=False)
    run("ip", "netns", "add", SERVER_NAMESPACE)
    _enter[:] = ["ip", "netns", "exec", SERVER_NAMESPACE]
    run("ip", "link", "add", "load0", "type", "veth", "peer", "name", "server0", "netns", SERVER_NAMESPACE)
    run("ip", "addr", "add", "10.77.0.2/24", "dev", "load0")
    run("ip", "link", "set", "load0", "up")
    inside = _enter
    run(*inside, "ip", "link", "set", "lo", "up")
    run(*inside, "ip", "addr", "add", "10.77.0.1/24", "dev", "server0")
    run(*inside, "ip", "link", "set", "server0", "up")
    # Threaded NAPI, so that receiving can be bound to a core; a veth has it only with GRO, which needs ethtool.
    gro = run(*inside, "ethtool", "-K", "server0", "gro", "on", check=False)
    if gro.returncode != 0:
        print(f"ethtool: {gro.stderr.strip()}", file=sys.stderr)
    # A veth passes only unsegmented packets to NAPI: otherwise the sender's core receives for the other side.
    tso = run("ethtool", "-K", "load0", "tso", "off", check=False)
    if tso.returncode != 0:
        print(f"ethtool: {tso.stderr.strip()}", file=sys.stderr)
    run(*inside, "sh", "-c", "echo 1 > /sys/class/net/server0/threaded", check=False)
    for line in run("ps", "-eo", "pid,comm").stdout.splitlines():
        pid, name = line.split(None, 1)
        if name.startswith("napi/server0"):
            run("taskset", "-pc", str(server_core), pid, check=False)
            # The same priority as the server: else the server would preempt it with every packet.
            if realtime:
                run("chrt", "--rr", "-p", "10", pid, check=False)
            else:
                run("renice", "-n", "-20", "-p", pid, check=False)
            helpers.append(int(pid))
    if not helpers:
        print("no threaded NAPI here: the load generator's core receives for the server", file=sys.stderr)
    return "10.77.0.1"
