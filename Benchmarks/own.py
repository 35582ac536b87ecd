"""Measurements of turnpike without another server: the floor, one engine against the other, two shards against one."""

import json
import os
import statistics
import subprocess
import sys

import network
import servers
from scenarios import relay

LIMITS = [
    relay("up-100", "client to peer, 172 B, 100", "--allocations 100"),
    relay("up-1000", "client to peer, 172 B, 1,000", "--allocations 1000"),
    relay("up-4000", "client to peer, 172 B, 4,000", "--allocations 4000"),
    relay("up-1200", "client to peer, 1,200 B, 100", "--allocations 100 --size 1200"),
    relay("paced", "paced 20,000 packets/s, 172 B, 100", "--allocations 100 --rate 20000"),
]


def floor(bench, *arguments):
    """Returns nanoseconds of a sendto and a recv on the server's core; with a rate, of a process that they wake."""
    cores = str(bench.options.server_core)
    if "--rate" in arguments:
        cores += f",{bench.options.load_core}"
    done = subprocess.run(
        bench.priority() + ["taskset", "-c", cores, bench.turnload, "floor", "--json", "--duration", "0.3", *arguments],
        capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["generator"]["cpu_ns_each"]


def limits(bench, options):
    """Measures turnpike against the floor; each round runs everything, so that disturbances affect all rows alike."""
    cost = {key: [] for key in ["floor", "floor-1200", "floor-paced"] + [scenario.key for scenario in LIMITS]}
    running = []
    try:
        # A process that has held thousands of allocations would distort the results for a hundred.
        for name in ("turnpike", "against"):
            running.append(servers.Server(
                name, options.program, bench.directory, options.server_core, address=bench.address,
                engine=options.engine, enter=network.enter_server() + bench.priority()))
        for _ in range(bench.rounds):
            cost["floor"].append(floor(bench))
            cost["floor-1200"].append(floor(bench, "--size", "1200"))
            cost["floor-paced"].append(floor(bench, "--rate", "20000"))
            for scenario in LIMITS:
                result = bench.load(running[scenario.key == "up-4000"], scenario)
                cost[scenario.key].append(result["server"]["cpu_ns_each"])
        middle = {key: statistics.median(values) for key, values in cost.items()}
        ratios = {(a, b): statistics.median(x / y for x, y in zip(cost[a], cost[b])) for a, b in (
            ("up-1000", "floor"), ("up-4000", "up-100"), ("up-1200", "up-100"), ("paced", "floor-paced"))}
    except (RuntimeError, subprocess.SubprocessError, TypeError, ZeroDivisionError) as error:
        print(f"own limits: {error}", file=sys.stderr)
        return
    finally:
        for server in running:
            server.stop()
    bench.runs.append({"limits": cost})
    print(f"\nOne sendto and one recv on the same core: {middle['floor']:,.0f} ns (172 B), {middle['floor-1200']:,.0f} ns "
          f"(1,200 B); woken for each of 20,000 packets/s, with nothing else to do: {middle['floor-paced']:,.0f} ns.\n")
    print("| own limit | value | at most |  |\n| --- | ---: | ---: | --- |")
    for name, pair, bar in [
            ("client to peer, 172 B, 1,000 allocations / one sendto + recv", ("up-1000", "floor"), 1.35),
            ("4,000 allocations / 100", ("up-4000", "up-100"), 1.15),
            ("1,200 B / 172 B", ("up-1200", "up-100"), 1.12),
            ("paced 20,000 packets/s / a process with nothing else to do", ("paced", "floor-paced"), None)]:
        value = ratios[pair]
        verdict = "" if bar is None else "met" if value <= bar else "not met"
        print(f"| {name} | {value:.2f} | {'-' if bar is None else format(bar, '.2f')} | {verdict} |", flush=True)


FLOW = {
    "up": relay("engine-up", "client to peer, 172 B, 1,000", "--allocations 1000"),
    "down": relay("engine-down", "peer to client, 172 B, 1,000", "--allocations 1000 --direction to-client"),
}


def engines(bench, options):
    """Measures packets a second and CPU of io_uring and epoll alternately, on the network of this run."""
    print(f"\n| {options.network} | io_uring, packets/s | epoll, packets/s | ratio | CPU for a packet, ratio | at least |  |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for scenario in FLOW.values():
        results = {"io-uring": [], "epoll": []}
        running = {}
        try:
            for name, engine in (("turnpike", "io-uring"), ("against", "epoll")):
                running[engine] = servers.Server(
                    name, options.program, bench.directory, options.server_core, address=bench.address, engine=engine,
                    enter=network.enter_server() + bench.priority())
            for _ in range(bench.rounds):
                for engine, server in running.items():
                    results[engine].append(bench.load(server, scenario))
                    bench.runs.append({"scenario": scenario.key, "server": engine, "result": results[engine][-1]})
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"{scenario.key}: {error}", file=sys.stderr)
            continue
        finally:
            for server in running.values():
                server.stop()
        rate = {engine: statistics.median(r["per_second"] for r in runs) for engine, runs in results.items()}
        cost = {engine: statistics.median(r["server"]["cpu_ns_each"] for r in runs) for engine, runs in results.items()}
        value = rate["io-uring"] / rate["epoll"]
        # Only a path that includes receiving shows the engine's savings.
        bar = 1.15 if options.network == "veth" else None
        verdict = "" if bar is None else "met" if value >= bar else "not met"
        print(f"| {scenario.title} | {rate['io-uring']:,.0f} | {rate['epoll']:,.0f} | {value:.2f} | "
              f"{cost['io-uring'] / cost['epoll']:.2f} | {'-' if bar is None else bar} | {verdict} |", flush=True)


def thread_times(pid):
    """Returns the CPU nanoseconds of each shard's thread."""
    times = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as file:
            name = file.read().strip()
        if name.startswith("shard-"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                times[name] = int(file.read().split()[0])
    return times


# The work of one shard and of two. At full speed there is no bar: turnload, which never sleeps, shares a core with one
# of two shards, but not with a single shard.
SHARDS = [
    ("60,000 packets/s for each shard", "--rate 30000", "--rate 60000", 1.18),
    ("120,000 packets/s in all", "--rate 60000", "--rate 60000", 1.18),
    ("as fast as they go", "", "", None),
]


def two_shards(bench, options):
    """Measures the CPU of a packet with two shards relative to one, and the larger shard's part of 128 flows."""
    cores = f"{options.server_core},{options.load_core}"
    running, shares = {}, []
    print("\n| two shards, echo, 128 flows: CPU for a packet, two shards / one | value | at most |  | task switches a packet |")
    print("| --- | ---: | ---: | --- | --- |")
    try:
        for name, workers in (("turnpike", 1), ("against", 2)):
            running[workers] = servers.Server(
                name, options.program, bench.directory, cores, address=bench.address, workers=workers,
                engine=options.engine, enter=network.enter_server() + bench.priority())
        for title, one, two, bar in SHARDS:
            cost, switches = {1: [], 2: []}, {1: [], 2: []}
            for _ in range(bench.rounds):
                for (workers, server), pace in zip(running.items(), (one, two)):
                    scenario = relay("shards", title, f"--allocations 128 --direction echo {pace}")
                    before = thread_times(server.pid)
                    result = bench.load(server, scenario)
                    after = thread_times(server.pid)
                    bench.runs.append({"scenario": f"shards, {title}", "server": f"{workers} shards", "result": result})
                    cost[workers].append(result["server"]["cpu_ns_each"])
                    switches[workers].append(result["server"]["task_switches_each"])
                    if workers == 2 and bar:
                        used = [after[name] - before[name] for name in after]
                        shares.append(max(used) / max(sum(used), 1))
            value = statistics.median(cost[2]) / statistics.median(cost[1])
            verdict = "" if bar is None else "met" if value <= bar else "not met"
            each = {workers: statistics.median(values) for workers, values in switches.items()}
            print(f"| {title} | {value:.2f} | {'-' if bar is None else bar} | {verdict} | {each[2]:.2f}, of one shard "
                  f"{each[1]:.2f} |", flush=True)
        share = statistics.median(shares)
        print(f"| the larger shard's part of the work | {share:.0%} | 65% | {'met' if share <= 0.65 else 'not met'} |  |",
              flush=True)
    except (RuntimeError, subprocess.SubprocessError, TypeError) as error:
        print(f"two shards: {error}", file=sys.stderr)
    finally:
        for server in running.values():
            server.stop()
