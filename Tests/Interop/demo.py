#!/usr/bin/python3
"""Chromium and Firefox open the demo page on one computer: the check, both ends in one tab over UDP, TCP and TLS, the
five systems without a relay, devices and the screen, faults and wrong links, and what texts of strangers do.
demo_nat.py has the systems between NATs. With `--pictures FOLDER` it writes pictures, light and dark, wide and narrow.

Exit status: the number of failed cases.
"""

import contextlib
import json
import os
import sys
import tempfile
import time

import chromium
import demo_edges
import demo_strangers
import demo_systems as systems
import firefox
import isolation
import server
from certificates import Authority
from demo_page import MIRROR, SESSION, DemoChromium, DemoFirefox, Path
from report import Failure, Report
from tabs import SIZES

ADMIN = "127.0.0.1:8478"
TOKEN = "demo-token"
PATHS = [Path("udp", True), Path("tcp", True), Path("tls", True), Path("any", False)]
DIRECT = PATHS[-1]


def main():
    """Runs the suite."""
    arguments = server.arguments(
        __doc__, pictures="a folder for pictures", only="run only the cases whose name contains this")
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
    """The cases, with one server, one Chromium with three tabs, and one Firefox."""

    def __init__(self, report, arguments, running, authority):
        self.report, self.arguments, self.running, self.authority = report, arguments, running, authority
        self.link = ""

    def case(self, name, function):
        """Runs one case if its name contains --only."""
        if self.arguments.only in name and not self.report.run(name, function):
            print(self.running.explain(), flush=True)

    def run(self):
        """Runs all cases."""
        with chromium.Chromium(root=self.authority.root) as browser:
            self.browser = browser
            # All other cases need the link that this one finds.
            if not self.report.run("token and link", self.token):
                return
            self.people = [DemoChromium(browser) for _ in range(3)]
            for tab, name in zip(self.people, ("Ann", "Ben", "Cem")):
                tab.enter(self.link, name)
            self.chromium_cases()
        reason = firefox.drivable()
        if reason:
            self.report.skip("firefox", reason)
            return
        with firefox.Firefox(root=self.authority.root) as browser:
            tab = DemoFirefox(browser)
            tab.enter(self.link, "Fox")
            self.case("firefox: check", lambda: self.check(tab))
            self.case("firefox: devices", lambda: self.devices(tab, "any"))
            for path in PATHS[:3]:
                self.case(f"firefox: loopback {path}", lambda p=path: self.loopback(tab, p))

    def chromium_cases(self):
        """Everything that needs only Chromium."""
        one, two, three = self.people
        self.case("check", lambda: self.check(one))
        for path in PATHS:
            self.case(f"loopback {path}", lambda p=path: self.loopback(one, p))
        self.case("one-way, two watchers, one late", lambda: systems.one_way(DIRECT, one, two, three))
        self.case("call of two", lambda: systems.call_of_two(DIRECT, one, two, three))
        self.case("chat and a file of 1 MiB", lambda: systems.chat_and_file(DIRECT, one, two))
        self.case("candidates, screen with sound, recording", lambda: systems.capture(DIRECT, one, two, "screen"))
        self.case("live page", lambda: systems.live_page(DIRECT, one, two, three))
        self.case("own iceServers", lambda: self.own_servers(one))
        self.case("devices", lambda: self.devices(one, ""))
        self.case("lost signalling, ICE restart, hang-up, the next call", lambda: self.reconnection(one, two))
        self.case("a firewall closes UDP and TCP", lambda: demo_edges.firewall(one, self.link, DIRECT))
        self.case("candidates before the description", lambda: demo_edges.early_candidates(one, self.link, DIRECT))
        self.case("a link that is not valid any more", lambda: demo_edges.stale_link(three, self.link, TOKEN))
        self.case("a wrong key, and a button that is pressed twice", lambda: demo_edges.impatience(DIRECT, one, two))
        self.case("a file over the limit", lambda: demo_edges.large_file(DIRECT, one, two))
        self.case("texts of strangers stay texts", lambda: demo_strangers.texts(DIRECT, one, two))
        self.case("the page's policy refuses what is not its own", lambda: demo_strangers.policy(one))
        self.case("sizes and pictures", lambda: self.sizes(one))

    # ---- The page

    def token(self):
        """The page asks for the token and makes a room; the room's link needs no token."""
        tab = DemoChromium(self.browser)
        with contextlib.closing(tab):
            tab.open(f"http://{ADMIN}/demo")
            tab.give_token(TOKEN)
            tab.until("location.hash.length > 20 && document.getElementById('state').className === 'pill ready'")
            self.link = tab.evaluate("location.href")
            names = tab.resources()
        strange = [name for name in names if not name.startswith(f"http://{ADMIN}/")]
        if strange or len(names) < 15:
            raise Failure(f"{strange or names}")
        if "secret" in self.link or TOKEN in self.link:
            raise Failure("the link has the token")

    def check(self, tab):
        """Every transport works, all kinds of candidates are listed, and the loopback call shows frames."""
        is_fox = isinstance(tab, DemoFirefox)
        tab.enter(self.link, "Person")
        tab.set("check", DIRECT)
        tab.click("check-start")
        tab.until("document.querySelectorAll('.verdict.good').length === 3", 20)
        tab.until("Number(document.getElementById('check-call').dataset.frames) >= 40", 25)
        tab.until("Number(document.getElementById('check-call').dataset.audio) >= 50", 10)
        kinds = set(tab.texts("#check-candidates td:first-child"))
        wanted = ["host", "relay over UDP", *(["relay over TCP", "relay over TLS"] if not is_fox else [])]
        for kind in wanted:
            if kind not in kinds:
                raise Failure(f"no candidate of the kind {kind}: {sorted(kinds)}")
        servers = {one.rpartition(":")[2] for one in tab.texts("#check-candidates td[data-name=server]")}
        if not is_fox and not {"3478", "5349"} <= servers:
            raise Failure(f"no candidates of both ports: {sorted(servers)}")
        drawn = tab.evaluate("document.querySelectorAll('#check-plots polyline[points]').length")
        if drawn != 4:
            raise Failure(f"{drawn} plots of 4 have a line")
        result = {"words": tab.text("check-words"), "path": tab.text("check-path"), "kinds": sorted(kinds)}
        tab.click("check-stop")
        return result

    def loopback(self, tab, path):
        """Both ends in one tab are seen within ten seconds."""
        tab.set("call", path, "test")
        begin = time.monotonic()
        tab.click("loopback")
        tab.until("[...document.querySelectorAll('#remotes video')].filter((video) => video.videoWidth > 0"
                  " && video.currentTime > 0).length === 2", 10)
        seen = time.monotonic() - begin
        figures = [tab.arrived(path, MIRROR), tab.arrived(path, SESSION)]
        tab.click("hang-up")
        return {"seen_after_s": round(seen, 2), "ends": figures}

    def own_servers(self, tab):
        """Pasted iceServers are used in place of the server's; wrong ones are refused in words."""
        path = Path("any", True)
        tab.set("data", path, "test")
        paste = "document.getElementById('own-servers').value = {}; document.getElementById('own-servers').oninput()"
        for wrong in ("[{", '[{"urls":["http://x"]}]', '[{"urls":[]}]', '[null]', "7"):
            tab.evaluate(paste.format(json.dumps(wrong)))
            tab.until("!document.getElementById('own-problem').hidden")
        servers = [{"urls": ["turn:127.0.0.1:3478?transport=udp"], "username": "alice", "credential": "secret"}]
        tab.evaluate(paste.format(json.dumps(json.dumps(servers))))
        tab.until("document.getElementById('own-problem').hidden")
        tab.click("loopback")
        figures = tab.arrived(path, MIRROR)
        names = tab.evaluate("demo.configuration().then(({iceServers}) => iceServers[0].username)")
        tab.evaluate(paste.format("''"))
        tab.click("hang-up")
        if names != "alice":
            raise Failure(f"the user is {names}")
        return {"ends": [figures]}

    def devices(self, tab, microphone):
        """Cameras are listed; another source in a call replaces the tracks, and the call goes on."""
        tab.set("call", DIRECT)
        tab.front()
        tab.until("document.getElementById('source').options[0]?.value.startsWith('camera:')")
        names = tab.texts("#source option")
        for name in ("Screen, with its sound", "Test picture and tone"):
            if name not in names:
                raise Failure(f"no {name}: {names}")
        first = "document.getElementById('source').options[0].value"
        tab.choose("source", tab.evaluate(first))
        tab.click("loopback")
        tab.arrived(DIRECT, MIRROR)
        labels = {}
        # Firefox tells the cameras' ids only after the permission, so they are read again.
        for source in ("test", tab.evaluate(first)):
            before = tab.evaluate("demo.room.stream.id")
            tab.choose("source", source)
            tab.until("demo.room.stream && demo.room.session.stream === demo.room.stream"
                      f" && demo.room.stream.id !== {json.dumps(before)}")
            tab.until_async("""(async () => { const {read} = await import('/demo/stats.js');
              const [peer] = demo.room.mirror.peers.values(); const {frames} = await read(peer.connection);
              globalThis.before ??= frames; return frames >= globalThis.before + 15; })()""")
            labels[source] = tab.evaluate("delete globalThis.before; demo.room.stream.getVideoTracks()[0].label")
        tab.click("hang-up")
        return {"sources": names, "labels": labels}

    def reconnection(self, one, two):
        """Media survive the loss of the signalling; a side hangs up, the other is told, and both can call again."""
        path = Path("any", True)
        for tab in (one, two):
            tab.set("call", path, "test")
        one.click("start")
        one.until_in_room()
        two.click("start")
        one.arrived(path)
        # The signalling of one side is cut; the call goes on, and the same peer comes back.
        one.evaluate("demo.room.session.signal.socket.close(); 0")
        one.until_in_room()
        two.until("[...demo.room.session.peers.values()].every((peer) => !peer.isAway)")
        two.until_more()
        # ICE restart: another path, the same connection.
        sdp = "[...demo.room.session.peers.values()][0].connection.localDescription.sdp"
        before = one.evaluate(f"{sdp}.match(/ice-ufrag:.*/)[0]")
        one.click("restart")
        one.until(f"!{sdp}.includes({json.dumps(before)})")
        two.until_more()
        two.click("hang-up")
        one.until_said("Ben has hung up")
        two.click("start")
        again = one.arrived(path)
        two.click("hang-up")
        one.click("hang-up")
        return {"again": again}

    def sizes(self, tab):
        """No tab scrolls sideways in any size of window. Writes pictures if there is a folder for them."""
        folder = self.arguments.pictures
        path = Path("any", True)
        for mode in ("check", "broadcast", "call", "data", "capture", "live"):
            tab.set(mode, path, "test")
            tab.click("check-start" if mode == "check" else "loopback")
            if mode == "check":
                tab.until("document.querySelectorAll('.verdict.good').length === 3", 20)
            else:
                tab.arrived(path, MIRROR)
            for name, size in SIZES.items():
                tab.resize(*size)
                time.sleep(5 if folder and name == "desktop" else 0.2)
                wide = tab.evaluate("document.documentElement.scrollWidth")
                if wide > size[0]:
                    raise Failure(f"{mode} on a {name}: {wide} points wide")
                for scheme in ("light", "dark") if folder else ():
                    tab.scheme(scheme)
                    time.sleep(0.5)
                    tab.picture(os.path.join(folder, f"{mode}-{name}-{scheme}.png"))
        tab.resize(*SIZES["desktop"])
        return {}


if __name__ == "__main__":
    sys.exit(main())
