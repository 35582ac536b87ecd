#!/usr/bin/python3
"""A call between two Chromiums behind symmetric NATs: only the relay can carry it.

The server has no route to the clients' own addresses and gets ICMP errors from the NAT routers; the call must not
suffer from either. Exit status: the number of failed cases.
"""

import argparse
import contextlib
import sys
import time

import call
import chromium
import isolation
import server
from network import SERVER, Network, Watch
from report import Failure, Report

CALL_SECONDS = 60
NORMAL_TTL = 32  # the least TTL that leaves the server; Linux starts at 64, and a relay may decrement the client's
LASTING_SECONDS = 6
NO_PATH_SECONDS = 12

# The clients' LAN addresses. The server has no route to them: for the private ones CreatePermission gives 403;
# to the others it must send, and gets "network is unreachable".
PRIVATE = ("10.1.0", "10.2.0")
UNROUTABLE = ("25.1.0", "25.2.0")


def main():
    """Runs the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    server.add_arguments(parser)
    parser.add_argument("--errors", choices=["both", "icmp", "route", "none"], default="both",
                        help="the errors that the server gets; the other choices are for comparison")
    arguments = parser.parse_args()
    report = Report("nat_call")
    if not chromium.installed():
        report.skip("everything", "Chromium is not installed; NO CALL BEHIND NATS WAS TESTED")
        return report.finish()
    if not isolation.enter(required=True):
        report.skip("everything", "network namespaces are refused here; NO CALL BEHIND NATS WAS TESTED")
        return report.finish()
    for name, lans, transports in (("private", PRIVATE, ("udp", "tcp")), ("unroutable", UNROUTABLE, ("udp",))):
        with contextlib.ExitStack() as stack:
            try:
                scene = Scene(arguments, stack, lans)
            except (Failure, RuntimeError, TimeoutError, OSError) as problem:
                report.run(f"{name} homes: the scene is set", lambda: _raise(Failure(str(problem))))
                continue
            if name == "private":
                report.run("without a relay the call fails", scene.no_way)
            for transport in transports:
                case = f"{name} homes: chromium-chromium by relay over {transport}"
                if not report.run(case, lambda: scene.relayed(transport, lans is UNROUTABLE)):
                    print(scene.server.explain(), flush=True)
    return report.finish()


class Scene:
    """The namespaces, the server, and a browser in each client's namespace."""

    def __init__(self, arguments, stack, lans):
        self.icmp = arguments.errors in ("both", "icmp")
        self.no_route = arguments.errors in ("both", "route")
        self.network = stack.enter_context(Network(lans, self.icmp, self.no_route))
        options = server.Options(hosts=[SERVER], users={"alice": "secret"}, prefix=self.network.inside("server"))
        self.server = stack.enter_context(server.Server(arguments, options))
        self.browsers = [stack.enter_context(chromium.Chromium(prefix=self.network.inside(name)))
                         for name in ("client-a", "client-b")]

    def relayed(self, transport, unroutable):
        """Makes a call with every kind of candidate; only the relayed ones can work."""
        servers = self.server.urls("turn", transport) + [{"urls": [f"stun:{SERVER}:3478"]}]
        before = self.network.counter("server", "Ip", "OutNoRoutes")
        failure, figures = None, {}
        with self.pages() as pages, Watch(self.network) as watch:
            try:
                progress = call.establish(*pages, (servers, servers), "all", CALL_SECONDS, call.everything_arrived)
                figures = call.figures(*progress)
                call.demand_everything(*progress)
                _demand_a_relay(*progress)
                figures = call.figures(*self.after_a_while(pages, progress))
            except Failure as problem:
                failure, figures = problem, problem.figures
            finally:
                call.stop(*pages)
            figures.update(watch.finish())
        figures["no_route"] = self.network.counter("server", "Ip", "OutNoRoutes") - before
        problem = str(failure) if failure else self.surroundings(figures, unroutable)
        if problem:
            failure = Failure(problem)
            failure.figures = figures
            raise failure
        return figures

    def after_a_while(self, pages, before):
        """Media must continue while further candidates cause errors only."""
        end_of_call = time.monotonic() + LASTING_SECONDS
        number = 0
        while time.monotonic() < end_of_call:
            for page in pages:
                page.call("poll", [_decoy(host, number) for host in ("11.1.0.2", "12.1.0.2", "25.9.0.9")])
            number += 1
            time.sleep(0.5)
        later = [page.call("poll", []) for page in pages]
        for earlier, end in zip(before, later):
            more = end["video"]["frames"] - earlier["video"]["frames"]
            if more < LASTING_SECONDS * 5:
                call.fail(f"media stopped: {more} video frames in {LASTING_SECONDS} s", *later)
        return later

    def surroundings(self, seen, unroutable):
        """Returns the fault of the replies' TTL or of the expected ICMP errors; None if there is none."""
        if not self.server.alive():
            return "the server ended during the call"
        if not seen["ttl"] or min(map(int, seen["ttl"])) < NORMAL_TTL:
            return f"the server's packets leave with TTLs {seen['ttl']}"
        if self.icmp and not seen["unreachable"].get("3"):
            return "no ICMP port unreachable reached the server, so this case proves nothing"
        if self.no_route and unroutable and not seen["no_route"]:
            return "the server always had a route, so this case proves nothing"
        return None

    def no_way(self):
        """With STUN only the call must fail; else these NATs are not symmetric and the other cases prove nothing."""
        servers = [{"urls": [f"stun:{SERVER}:3478"]}]
        with self.pages() as pages:
            progress = call.establish(*pages, (servers, servers), "all", NO_PATH_SECONDS,
                                      lambda *ends: any(end["state"] == "connected" for end in ends))
            call.stop(*pages)
        if any(end["state"] == "connected" for end in progress):
            call.fail("the call connected without a relay", *progress)
        kinds = sorted({text.split(" typ ")[1].split()[0] for end in progress for text in end["gathered"]})
        if "srflx" not in kinds:
            call.fail(f"no server-reflexive candidates, only {kinds}: Binding does not work", *progress)
        return {"candidates": kinds, "states": [end["state"] for end in progress]}

    @contextlib.contextmanager
    def pages(self):
        """Opens a page in each browser."""
        pages = [browser.page() for browser in self.browsers]
        try:
            yield pages
        finally:
            for page in pages:
                page.close()


def _decoy(host, number):
    """Returns a candidate at a NAT without a binding, or in a network without a route: it causes errors only."""
    text = f"candidate:9{number} 1 udp {2113937151 - number} {host} {40000 + number} typ host"
    return {"candidate": text, "sdpMid": "0", "sdpMLineIndex": 0}


def _demand_a_relay(*progress):
    for end in progress:
        pair = end["pair"]
        if not pair or "relay" not in (pair["local"]["type"], pair["remote"]["type"]):
            call.fail(f"the call does not go through a relay: {call.describe(pair)}", *progress)


def _raise(failure):
    raise failure


if __name__ == "__main__":
    sys.exit(main())
