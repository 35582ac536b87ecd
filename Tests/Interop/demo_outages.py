"""Outages of the demo page: the network or the other side is gone. Used by demo_nat.py.

However long the network was away, the call must come back by itself, within BACK_SECONDS after the network.
"""

import os
import signal
import time

import firefox
from demo_group import Group
from demo_page import DemoChromium, DemoFirefox, Path
from report import Failure

BACK_SECONDS = 20
RELAY = Path("udp", True, has_nats=True)
ANY = Path("any", False, has_nats=True)

CONNECTED = "[...demo.room.session.peers.values()].some((peer) => peer.isConnected)"
CALL = "String([...demo.room.session.peers.values()][0]?.call)"


class Outages(Group):
    """Gus in Chromium behind one NAT; Hal behind another one, which loses its network."""

    label = "outages"
    entry = "a room for outages"

    def __init__(self, report, arguments, scene, link):
        super().__init__(report, arguments, scene)
        self.link = link

    def begin(self):
        """Both enter the room."""
        self.gus = DemoChromium(self.scene.chromium("a"))
        self.gus.enter(self.link, "Gus")
        self.far = self.scene.chromium("c")
        self.hal = DemoChromium(self.far)
        self.hal.enter(self.link, "Hal")

    def run(self):
        """Runs all cases."""
        if self.arguments.outages:
            self.durations(self.arguments.outages.split(","))
            return
        self.case("packets are lost until both sides notice", lambda: self.outage(self.gus, self.hal, ANY, True))
        self.case("no network until the signalling is lost",
                  lambda: self.outage(self.hal, self.gus, RELAY, False, self.signalling_lost))
        self.case("no network until the other side has given up",
                  lambda: self.outage(self.gus, self.hal, RELAY, False, self.given_up))
        self.case("no network, and the other side calls a dead connection",
                  lambda: self.outage(self.hal, self.gus, RELAY, False, self.called_in_vain))
        self.case("a killed browser", self.killed)

    def durations(self, listed):
        """Runs outages of the given lengths, of both kinds, of a Chromium and of a Firefox."""
        fars = [("Chromium", self.hal)]
        if not firefox.drivable():
            fars.append(("Firefox", DemoFirefox(self.scene.firefox("c"))))
            fars[1][1].enter(self.link, "Ida")
        for name, far in fars:
            for seconds in listed:
                for is_silent, path in ((True, RELAY), (False, ANY)):
                    kind = "packets are lost" if is_silent else "the interface is down"
                    one, two = (self.gus, far) if is_silent else (far, self.gus)
                    for tab in (self.gus, self.hal, far):
                        tab.evaluate("demo.room.hangUp()")
                    self.case(f"{name}, {kind} for {seconds} s", lambda: self.outage(
                        one, two, path, is_silent, lambda: time.sleep(float(seconds)), far))

    def outage(self, one, two, path, is_silent, wait=lambda: None, far=None):
        """Hal's NAT loses its network until both sides notice, and until `wait` returns; `two` has called `one`."""
        far = far or self.hal
        for tab in (one, two):
            tab.set("call", path, "test")
        one.click("start")
        one.until_in_room()
        two.click("start")
        for tab in (one, two):
            tab.arrived(path)
        call = one.evaluate(CALL)
        begin = time.monotonic()
        with self.scene.network.cut("c", is_silent):
            wait()
            if not self.arguments.outages:
                for tab in (self.gus, far):
                    tab.until(f"!({CONNECTED})", 15)
        up = time.monotonic()
        self.back((one, two), up)
        figures = {"away_s": round(up - begin, 1), "back_s": round(time.monotonic() - up, 1),
                   "same_call": one.evaluate(CALL) == call, "peers": [tab.figures() for tab in (one, two)]}
        far.click("hang-up")
        self.gus.until_said(f"{far.name} has hung up")
        is_new = wait in (self.given_up, self.called_in_vain)
        if not self.arguments.outages and figures["same_call"] == is_new:
            raise Failure(f"{'the old call' if is_new else 'a new call'} goes on: {figures}")
        return figures

    def back(self, tabs, up):
        """Both sides are connected and get new frames within the bound."""
        try:
            for tab in tabs:
                tab.until(CONNECTED, up + BACK_SECONDS - time.monotonic())
            for tab in tabs:
                tab.until_more(seconds=up + BACK_SECONDS - time.monotonic())
        except Failure as failure:
            states = [(tab.name, tab.text("state"), tab.text("room-words"), tab.text("states"), tab.figures())
                      for tab in tabs]
            raise Failure(f"not back {BACK_SECONDS} s after the network: {states}") from failure

    def signalling_lost(self):
        """Waits until Hal's page knows that its WebSocket is dead."""
        self.hal.until("document.getElementById('state').textContent.includes('trying again')", 20)

    def given_up(self):
        """Makes Gus's page drop Hal, as it does after a minute; Hal's page is not told."""
        self.signalling_lost()
        self.gus.evaluate("demo.room.session.peers.forEach((peer) => demo.room.session.drop(peer, 'vanished'))")

    def called_in_vain(self):
        """Makes Gus's page call Hal while the server still lists Hal's dead WebSocket: the offer is lost."""
        self.signalling_lost()
        self.gus.evaluate("demo.room.session.peers.forEach((peer) => demo.room.session.call(peer.id, peer.info))")

    def killed(self):
        """A browser that is killed is shown as vanished; its place in the room is free for the next caller."""
        for tab in (self.gus, self.hal):
            tab.set("call", RELAY, "test")
        self.gus.click("start")
        self.gus.until_in_room()
        self.hal.click("start")
        self.gus.arrived(RELAY)
        os.killpg(self.far.process.pid, signal.SIGKILL)
        begin = time.monotonic()
        self.gus.until_said("Hal has vanished", 20)
        noticed = time.monotonic() - begin
        # The page keeps the peer for some seconds, because media may still arrive.
        self.gus.until("demo.room.session.peers.size === 0", 35)
        ida = DemoChromium(self.scene.chromium("c"))
        ida.enter(self.link, "Ida")
        ida.set("call", RELAY, "test")
        ida.click("start")
        return {"noticed_s": round(noticed, 1), "next": ida.arrived(RELAY)}
