"""Measurements of turnpike without another server: the floor, one engine against the other, two shards against one."""

import json
import os
import statistics
import subprocess
import sys
import threading
import urllib.request

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
    """Returns nanoseconds of a sendto and a recv on the server's core; with a rate, each packet wakes the process."""
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


# The largest ratios: of a packet's CPU time with and without metrics and logs, of the 99th percentile by a scraper.
OBSERVED = 1.02
SCRAPED = 1.10


class Scraper:
    """Reads a server's metrics once a second, in the server's namespace, as Prometheus does."""

    def __init__(self, server):
        self.url = f"http://{server.admin}/metrics"
        self.stop = threading.Event()
        self.count = 0
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.stop.wait(1):
            with urllib.request.urlopen(self.url, timeout=5) as answer:
                if b"turnpike_relayed_packets_total" in answer.read():
                    self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def observation(bench, options):
    """Measures a packet with the admin endpoint, metrics and lines at info against one without; and the latency with a
    scraper against that without, with 10,000 allocations. On loopback only: a scraper must reach the server."""
    print("\n| metrics, logs and a scraper | with | without | ratio | at most |  |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    running = {}
    try:
        for name, observed in (("turnpike", True), ("against", False)):
            running[observed] = servers.Server(
                name, options.program, bench.directory, options.server_core, address=bench.address,
                engine=options.engine, enter=network.enter_server() + bench.priority(), observed=observed)
        for scenario in (FLOW["up"], FLOW["down"]):
            cost = {True: [], False: []}
            for round_number in range(2 * bench.rounds):
                for observed in (True, False) if round_number % 2 else (False, True):
                    result = bench.load(running[observed], scenario)
                    bench.runs.append({"scenario": f"observed, {scenario.key}", "server": str(observed), "result": result})
                    cost[observed].append(result["server"]["cpu_ns_each"])
            compare(scenario.title + ", CPU", cost, OBSERVED)
        scraped(bench, running[True])
    except (RuntimeError, OSError, subprocess.SubprocessError, TypeError, ZeroDivisionError) as error:
        print(f"observation: {error}", file=sys.stderr)
    finally:
        for server in running.values():
            server.stop()


def scraped(bench, server):
    """Latencies of paced echoes over 10,000 allocations, with and without a scraper, alternately."""
    scenario = relay("scraped", "echo, 10,000 packets/s, 10,000 allocations, p99, us",
                     "--allocations 10000 --direction echo --rate 10000")
    duration, bench.duration = bench.duration, max(bench.duration, 4)
    latency = {True: [], False: []}
    try:
        for _ in range(bench.rounds):
            latency[False].append(bench.load(server, scenario)["latency_us"]["p99"])
            with Scraper(server) as scraper:
                latency[True].append(bench.load(server, scenario)["latency_us"]["p99"])
            if scraper.count < 3:
                raise RuntimeError(f"only {scraper.count} scrapes")
    finally:
        bench.duration = duration
    bench.runs.append({"scraped": {str(key): values for key, values in latency.items()}})
    compare(scenario.title, latency, SCRAPED)


def compare(title, values, bar):
    """Prints the medians of both kinds and the median of the ratios of neighbours."""
    value = statistics.median(a / b for a, b in zip(values[True], values[False]))
    print(f"| {title} | {statistics.median(values[True]):,.0f} | {statistics.median(values[False]):,.0f} | {value:.3f} | "
          f"{bar} | {'met' if value <= bar else 'not met'} |", flush=True)
