#!/usr/bin/python3
"""Chromium opens the demo page: the check, and the five systems of its tabs, each over UDP, TCP and TLS with relays only
and once without. Audio and decoded frames are counted at the receiver; a file of 1 MiB, a recording, a watcher who comes
late, a vanished side. With `--pictures FOLDER` it writes pictures, light and dark, wide and narrow.

Exit status: the number of failed cases.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time

import chromium
import firefox
import isolation
import server
from certificates import Authority
from demo_tabs import FIGURES, SIZES, FoxTab, Tab
from report import Failure, Report

ADMIN = "127.0.0.1:8478"
TOKEN = "demo-token"
# The choice of the page, the name in getStats, and relays only or not.
PATHS = [("udp", True), ("tcp", True), ("tls", True), ("any", False)]
def main():
    """Runs the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    server.add_arguments(parser)
    parser.add_argument("--pictures", default="", help="a folder for pictures")
    parser.add_argument("--only", default="", help="run only the cases whose name contains this")
    arguments = parser.parse_args()
    report = Report("demo")
    if arguments.server == "coturn" or not chromium.installed():
        report.skip("everything", "there is no Chromium, or the server is not the one that has a demo page")
        return report.finish()
    if isolation.enter(required=False):
        isolation.look_like_a_laptop()
    with tempfile.TemporaryDirectory(prefix="turnpike-interop-demo-") as folder:
        authority = Authority(folder)
        options = server.Options(
            certificate=authority, users={"alice": "secret"},
            settings={"admin.listen": ADMIN, "admin.token": TOKEN, "admin.demo": "true"})
        with server.Server(arguments, options) as running:
            Suite(report, arguments, running, authority).run()
    return report.finish()


class Suite:
    """The cases, with one server and one browser."""

    def __init__(self, report, arguments, running, authority):
        self.report, self.arguments, self.running, self.authority = report, arguments, running, authority
        self.link = ""

    def case(self, name, function):
        """Runs one case if it is wanted."""
        if self.arguments.only in name and not self.report.run(name, function):
            print(self.running.explain(), flush=True)

    def run(self):
        """Runs all cases."""
        with chromium.Chromium(root=self.authority.root) as browser:
            first = Tab(browser)
            # All other cases need the link that this one finds.
            if not self.report.run("token and link", lambda: self.token(first)):
                return
            first.close()
            self.browser = browser
            self.case("check", self.check)
            for transport, relay in PATHS:
                label = f"over {transport}, {'relay only' if relay else 'any path'}"
                self.case(f"loopback {label}", lambda t=transport, r=relay: self.loopback(t, r))
                self.case(f"one-way, two watchers, one late, {label}", lambda t=transport, r=relay: self.watchers(t, r))
                self.case(f"call of two {label}", lambda t=transport, r=relay: self.call(t, r))
                self.case(f"chat and a file of 1 MiB {label}", lambda t=transport, r=relay: self.data(t, r))
                self.case(f"candidates, screen and recording {label}", lambda t=transport, r=relay: self.capture(t, r))
                self.case(f"live page {label}", lambda t=transport, r=relay: self.live(t, r))
            self.case("own iceServers", self.own_servers)
            self.case("hang-up, vanished side, reconnection, ICE restart", self.vanish)
            self.case("sizes and pictures", self.sizes)
        reason = firefox.drivable()
        if reason:
            self.report.skip("firefox", reason)
        else:
            self.case("firefox: loopback and check", self.firefox)

    # ---- Tabs

    def token(self, tab):
        """The page asks for the token, makes a room, and its link needs none."""
        tab.open(f"http://{ADMIN}/demo")
        tab.until("document.getElementById('token-dialog').open")
        tab.evaluate(f"document.getElementById('token').value = {json.dumps(TOKEN)};"
                     "document.querySelector('#token-dialog button').click()")
        tab.until("location.hash.length > 20 && document.getElementById('state').className === 'pill ready'")
        self.link = tab.evaluate("location.href")
        names = json.loads(tab.evaluate("JSON.stringify(performance.getEntriesByType('resource').map((one) => one.name))"))
        strange = [name for name in names if not name.startswith(f"http://{ADMIN}/")]
        if strange or len(names) < 15:
            raise Failure(f"{strange or names}")
        if "secret" in self.link or TOKEN in self.link:
            raise Failure("the link has the token")

    @contextlib.contextmanager
    def tabs(self, count, mode, transport="any", relay=True, source=""):
        """Tabs of different people in the room, with these settings."""
        opened = []
        try:
            for number in range(count):
                tab = Tab(self.browser)
                opened.append(tab)
                tab.enter(self.link, mode, transport, relay, source, f"Person {number + 1}")
            yield opened
        finally:
            for tab in opened:
                tab.close()

    # ---- The systems

    def check(self):
        """Every transport works, all kinds of candidates are listed, and the loopback call shows frames."""
        with self.tabs(1, "check") as (tab,):
            tab.click("check-start")
            tab.until("document.querySelectorAll('.verdict.good').length === 3", 20)
            tab.until("Number(document.getElementById('check-call').dataset.frames) >= 40", 25)
            tab.until("Number(document.getElementById('check-call').dataset.audio) >= 50", 10)
            kinds = set(json.loads(tab.evaluate(
                "JSON.stringify([...document.querySelectorAll('#check-candidates tr')].map((row) => row.cells[0].textContent))")))
            for kind in ("host", "relay over UDP", "relay over TCP", "relay over TLS"):
                if kind not in kinds:
                    raise Failure(f"no candidate of the kind {kind}: {sorted(kinds)}")
            drawn = tab.evaluate("document.querySelectorAll('#check-plots polyline[points]').length")
            if drawn != 4:
                raise Failure(f"{drawn} plots of 4 have a line")
            return {"words": tab.text("check-words"), "path": tab.text("check-path"), "kinds": sorted(kinds)}

    def loopback(self, transport, relay):
        """Both ends in one tab are seen within ten seconds."""
        with self.tabs(1, "call", transport, relay, "test") as (tab,):
            begin = time.monotonic()
            tab.click("loopback")
            tab.until("[...document.querySelectorAll('#remotes video')].filter((video) => video.videoWidth > 0"
                      " && video.currentTime > 0).length === 2", 10)
            seen = time.monotonic() - begin
            figures = [tab.arrived("demo.room.mirror", transport, relay), tab.arrived("demo.room.session", transport, relay)]
            return {"seen_after_s": round(seen, 2), "ends": figures}

    def watchers(self, transport, relay):
        """A recorder, a watcher, and one who comes when the first one is served."""
        with self.tabs(3, "broadcast", transport, relay) as (star, early, late):
            early.click("watch")
            star.click("start")
            first = early.arrived("demo.room.session", transport, relay)
            late.click("watch")
            second = late.arrived("demo.room.session", transport, relay)
            star.until("document.getElementById('people-count').textContent.includes('2 watching')")
            early.click("hang-up")
            star.until("document.getElementById('people-count').textContent.includes('1 watching')")
            if len(star.figures()) != 1:
                raise Failure("the star keeps the peer of a watcher who has left")
            return {"first": first, "late": second}

    def call(self, transport, relay):
        """Both see and hear each other; a third one is told that the call is full."""
        with self.tabs(3, "call", transport, relay) as (one, two, three):
            one.click("start")
            one.until("document.getElementById('state').textContent === 'in the room'")
            two.click("start")
            figures = [one.arrived("demo.room.session", transport, relay), two.arrived("demo.room.session", transport, relay)]
            three.click("start")
            three.until("document.getElementById('room-words').textContent.includes('Two people are in this call')")
            one.until("document.getElementById('path').textContent.includes('Heartbeat')", 10)
            return {"ends": figures, "words": one.text("path")}

    def data(self, transport, relay):
        """Chat both ways, and a file of 1 MiB with compared checksums."""
        with self.tabs(2, "data", transport, relay) as (one, two):
            one.click("start")
            one.until("document.getElementById('state').textContent === 'in the room'")
            two.click("start")
            one.until("demo.room.panels.peers[0]?.channel.readyState === 'open'", 15)
            two.until("demo.room.panels.peers[0]?.channel.readyState === 'open'", 15)
            for tab, other, text in ((one, two, "<b>hello</b>"), (two, one, "and back")):
                tab.evaluate(f"document.getElementById('chat-text').value = {json.dumps(text)};"
                             "document.getElementById('chat-form').requestSubmit()")
                other.until(f"document.getElementById('chat-lines').innerText.includes({json.dumps(text)})")
            path = os.path.join(self.browser.directory, "bulk.bin")
            with open(path, "wb") as file:
                file.write(os.urandom(1 << 20))
            one.choose_file("file", path)
            two.until("document.querySelector('#files li[data-intact=true][data-size=\"1048576\"] a')", 30)
            one.until("document.getElementById('file-words').dataset.intact === 'true'")
            return {"words": one.text("file-words"), "ends": [two.arrived("demo.room.session", transport, relay)]}

    def capture(self, transport, relay):
        """The screen with its sound goes to the other side, which records it; the recording is played and downloaded."""
        with self.tabs(2, "capture", transport, relay) as (one, two):
            one.choose("source", "test" if transport != "any" else "screen")
            one.click("start")
            one.until("document.getElementById('state').textContent === 'in the room'")
            two.click("start")
            figures = two.arrived("demo.room.session", transport, relay, audio=transport != "any")
            rows = one.evaluate("document.querySelectorAll('#room-candidates tr[data-type]').length")
            if not rows:
                raise Failure("no candidate is listed")
            two.choose("record-source", "remote")
            two.click("record")
            time.sleep(3)
            two.click("record")
            two.until("document.querySelector('#recording video')", 10)
            played = json.loads(two.evaluate("""(async () => {
              const video = document.querySelector("#recording video");
              video.muted = true;
              await video.play();
              await new Promise((resolve) => setTimeout(resolve, 1500));
              const link = document.querySelector("#recording a");
              return JSON.stringify({time: video.currentTime, width: video.videoWidth, name: link.download});
            })()"""))
            if played["time"] < 0.5 or not played["width"]:
                raise Failure(f"the recording does not play: {played}")
            return {"ends": [figures], "rows": rows, "played": played, "bytes": two.download("#recording a")}

    def live(self, transport, relay):
        """A star and two fans, one late; texts go to everyone through the room."""
        with self.tabs(3, "live", transport, relay, "test") as (star, fan, late):
            star.click("start")
            star.until("document.getElementById('state').textContent === 'in the room'")
            fan.click("watch")
            first = fan.arrived("demo.room.session", transport, relay)
            late.click("watch")
            second = late.arrived("demo.room.session", transport, relay)
            fan.evaluate("document.getElementById('chat-text').value = 'bravo';"
                         "document.getElementById('chat-form').requestSubmit()")
            for tab in (star, late):
                tab.until("document.getElementById('chat-lines').innerText.includes('bravo')")
            return {"first": first, "late": second}

    def own_servers(self):
        """Pasted iceServers are used in place of the server's; wrong ones are refused in words."""
        with self.tabs(1, "data", "any", True, "test") as (tab,):
            tab.evaluate("document.getElementById('own-servers').value = '[{';"
                         "document.getElementById('own-servers').oninput()")
            tab.until("!document.getElementById('own-problem').hidden")
            servers = [{"urls": ["turn:127.0.0.1:3478?transport=udp"], "username": "alice", "credential": "secret"}]
            tab.evaluate(f"document.getElementById('own-servers').value = {json.dumps(json.dumps(servers))};"
                         "document.getElementById('own-servers').oninput()")
            tab.until("document.getElementById('own-problem').hidden")
            tab.click("loopback")
            figures = tab.arrived("demo.room.mirror", "udp", True)
            names = tab.evaluate("demo.configuration().then(({iceServers}) => iceServers[0].username)")
            if names != "alice":
                raise Failure(f"the user is {names}")
            return {"ends": [figures]}

    def vanish(self):
        """A side that hangs up is told apart from one that vanishes; media survive the loss of the signalling."""
        with self.tabs(2, "call", "any", True, "test") as (one, two):
            one.click("start")
            one.until("document.getElementById('state').textContent === 'in the room'")
            two.click("start")
            one.arrived("demo.room.session", "any", True)
            # The signalling of one side is cut; the call goes on, and the same peer comes back.
            before = two.figures()[0]["frames"]
            one.evaluate("demo.room.session.signal.socket.close(); 0")
            one.until("document.getElementById('state').textContent === 'in the room'", 10)
            two.until("[...demo.room.session.peers.values()].every((peer) => !peer.isAway)")
            two.until_async(f"{FIGURES % 'demo.room.session'}.then((text) => JSON.parse(text)[0].frames > {before + 20})", 15)
            # ICE restart: another path, the same connection.
            one.click("restart")
            one.until("[...demo.room.session.peers.values()].every((peer) => peer.restarts === 1)")
            before = two.figures()[0]["frames"]
            two.until_async(f"{FIGURES % 'demo.room.session'}.then((text) => JSON.parse(text)[0].frames > {before + 20})", 15)
            two.click("hang-up")
            one.until("document.getElementById('room-words').textContent.includes('hung up')")
            two.click("start")
            one.until("[...demo.room.session.peers.values()].some((peer) => peer.connection.connectionState === 'connected')", 15)
            two.evaluate("demo.room.session.signal.isOver = true; demo.room.session.signal.socket.close();"
                         "[...demo.room.session.peers.values()].forEach((peer) => peer.connection.close()); 0")
            one.until("document.getElementById('room-words').textContent.includes('vanished')", 20)
            one.until("demo.room.session.peers.size === 0", 25)
            return {"words": one.text("room-words")}

    def sizes(self):
        """No tab scrolls sideways in any size of window; pictures if they are wanted."""
        folder = self.arguments.pictures
        for mode in ("check", "call", "data", "capture", "live"):
            with self.tabs(1, mode, "any", True, "test") as (tab,):
                tab.click("check-start" if mode == "check" else "loopback")
                if mode == "check":
                    tab.until("Number(document.getElementById('check-call').dataset.frames) >= 40", 30)
                else:
                    tab.arrived("demo.room.mirror", "any", True)
                    time.sleep(4 if folder else 1)
                for name, size in SIZES.items():
                    tab.resize(*size)
                    time.sleep(0.3)
                    wide = tab.evaluate("document.documentElement.scrollWidth")
                    if wide > size[0]:
                        raise Failure(f"{mode} on a {name}: {wide} points wide")
                    for scheme in ("light", "dark") if folder else ():
                        tab.scheme(scheme)
                        time.sleep(0.5)
                        tab.picture(os.path.join(folder, f"{mode}-{name}-{scheme}.png"))
        return {}

    def firefox(self):
        """The loopback call and the check in Firefox, over TCP, UDP and TLS by the name localhost."""
        with firefox.Firefox(root=self.authority.root) as browser:
            tab = FoxTab(browser)
            tab.enter(self.link, "call", "any", True, "test", "Fox")
            tab.click("loopback")
            figures = [tab.arrived("demo.room.mirror", "any", True), tab.arrived("demo.room.session", "any", True)]
            tab.click("hang-up")
            tab.evaluate("document.querySelector('[data-mode=check]').click()")
            tab.click("check-start")
            tab.until("document.querySelectorAll('.verdict.good').length >= 2", 40)
            tab.until("document.querySelectorAll('.verdict.good, .verdict.bad').length === 3", 40)
            verdicts = {name: tab.evaluate(f"document.querySelector('#verdict-{name} p').textContent") for name in ("udp", "tcp", "tls")}
            return {"ends": figures, "verdicts": verdicts}


if __name__ == "__main__":
    sys.exit(main())
