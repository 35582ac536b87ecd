#!/usr/bin/python3
"""The demo page between two symmetric NATs: its five systems over UDP, TCP and TLS, with relays only and with any path.

Two groups of people at the same time, each in a room of its own: one with Chromium alone, and one with Chromium behind
one NAT and Firefox behind the other. The page comes over HTTPS by a name, with a certificate that the browsers trust.
At the end a NAT loses its network for some seconds, and a browser is killed.

Exit status: the number of failed cases.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import chromium
import demo_systems as systems
import firefox
import isolation
import server
from certificates import Authority
from demo_page import DemoChromium, DemoFirefox, Path
from network import SERVER, Network
from report import Failure, Report

NAME = "turn.test"
PAGE = f"https://{NAME}:8478/demo"
TOKEN = "demo-token"
LANS = ("10.1.0", "10.2.0")
PATHS = [Path(transport, is_relay, has_nats=True) for is_relay in (True, False) for transport in ("udp", "tcp", "tls")]


def main():
    """Runs the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    server.add_arguments(parser)
    parser.add_argument("--only", default="", help="run only the cases whose name contains this")
    arguments = parser.parse_args()
    report = Report("demo_nat")
    if arguments.server == "coturn" or not chromium.installed():
        report.skip("everything", "there is no Chromium, or the server is not the one that has a demo page")
        return report.finish()
    if not isolation.enter(required=True):
        report.skip("everything", "network namespaces are refused here; NO DEMO BEHIND NATS WAS TESTED")
        return report.finish()
    with contextlib.ExitStack() as stack:
        scenes = []
        if report.run("the scene is set", lambda: scenes.append(Scene(arguments, stack))):
            run(report, arguments, scenes[0])
    return report.finish()


class Scene:
    """Two NATs, the server, and the browsers behind the NATs."""

    def __init__(self, arguments, stack):
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="turnpike-interop-demo-"))
        self.network = stack.enter_context(Network(LANS))
        _name_server(folder)
        self.authority = Authority(folder, [NAME])
        options = server.Options(
            hosts=[SERVER], certificate=self.authority, users={"alice": "secret"}, prefix=self.network.inside("server"),
            settings={"admin.listen": f"{SERVER}:8478", "admin.token": TOKEN, "admin.demo": "true"})
        self.server = stack.enter_context(server.Server(arguments, options))
        self.stack = stack

    def chromium(self, side):
        """Starts a Chromium behind a NAT."""
        return self.stack.enter_context(
            chromium.Chromium(root=self.authority.root, prefix=self.network.inside(f"client-{side}")))

    def firefox(self, side):
        """Starts a Firefox behind a NAT."""
        return self.stack.enter_context(
            firefox.Firefox(root=self.authority.root, prefix=self.network.inside(f"client-{side}")))


def _name_server(folder):
    """Gives the server's address a name, in this script's namespace of mounts only.

    Without a resolver that refuses at once, a browser waits seconds for the name's IPv6 address.
    """
    for name, text in (("hosts", f"127.0.0.1 localhost\n{SERVER} {NAME}\n"), ("resolv.conf", "nameserver 127.0.0.1\n")):
        path = os.path.join(folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, 0o644)
        subprocess.run(["mount", "--bind", path, f"/etc/{name}"], check=True)
    os.chmod(folder, 0o755)


def run(report, arguments, scene):
    """Runs both groups beside each other, then what concerns the network of both."""
    first = Chromiums(report, arguments, scene)
    if not report.run("the page asks for the token and makes a room", first.begin):
        return
    groups = [first]
    reason = firefox.drivable()
    if reason:
        report.skip("firefox", reason)
    else:
        groups.append(Mixed(report, arguments, scene, first.link_of("second")))
    threads = [threading.Thread(target=group.run) for group in groups]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first.case("a NAT without network for some seconds: ICE restart", first.outage)


class Group:
    """People in one room, and the cases that they go through."""

    def __init__(self, report, arguments, scene):
        self.report, self.arguments, self.scene = report, arguments, scene

    def case(self, name, function):
        """Runs one case if it is wanted."""
        name = f"{self.label}: {name}"
        if self.arguments.only in name and not self.report.run(name, function):
            print(self.scene.server.explain(), flush=True)

    def systems(self, path):
        """The five systems over one path."""
        one, two, three = self.roles(path)
        self.case(f"one-way, two watchers, one late, {path}", lambda: systems.one_way(path, one, two, three))
        self.case(f"call of two {path}", lambda: systems.call_of_two(path, one, two))
        self.case(f"chat and a file of 1 MiB {path}", lambda: systems.chat_and_file(path, one, two, "test"))
        source = self.captured(path)
        self.case(f"candidates, capture and recording {path}", lambda: systems.capture(path, one, two, source))
        self.case(f"live page, two fans, one late, {path}", lambda: systems.live_page(path, one, two, three, "test"))


class Chromiums(Group):
    """Ann behind one NAT; Ben and Cem behind the other one."""

    label = "chromium-chromium"
    dora = None

    def begin(self):
        """Ann makes a room with the token; the others need only its link."""
        self.ann = DemoChromium(self.scene.chromium("a"))
        self.ann.open(PAGE)
        self.ann.give_token(TOKEN)
        self.ann.until("location.hash.length > 20 && document.getElementById('state').className === 'pill ready'")
        link = self.ann.evaluate("location.href")
        self.ann.name = self.ann.evaluate("document.getElementById('name').value")
        self.far = self.scene.chromium("b")
        self.ben, self.cem = DemoChromium(self.far), DemoChromium(self.far)
        self.ben.enter(link, "Ben")
        self.cem.enter(link, "Cem")

    def link_of(self, room):
        """The link of another room, for which the token is needed."""
        answer = self.ann.evaluate(f"fetch('/demo/access?room={room}', {{headers: {{Authorization: "
                                   f"'Bearer {TOKEN}'}}}}).then((answer) => answer.text())")
        document = json.loads(answer)
        return f"{PAGE}#{room}.{document['key']}"

    def roles(self, path):
        """Ann sends, to two behind the other NAT."""
        return self.ann, self.ben, self.cem

    def captured(self, path):
        """What is captured: the screen with its sound once."""
        return "screen" if path.transport == "udp" else "test"

    def run(self):
        """All cases."""
        for path in PATHS:
            self.systems(path)
        self.case("a killed browser", self.killed)

    def outage(self):
        """Media stop when a NAT loses its network, both sides say so, and come back by themselves with a new path."""
        path = Path("any", False, has_nats=True)
        dora = self.dora or self.ben
        for tab in (self.ann, dora):
            tab.set("call", path, "test")
        self.ann.click("start")
        self.ann.until_in_room()
        dora.click("start")
        self.ann.arrived(path)
        down = time.monotonic()
        self._link("down")
        try:
            self.ann.until_said(f"Nothing comes from {dora.name}", 15)
            noticed = time.monotonic() - down
            self.ann.until("[...demo.room.session.peers.values()].some((peer) => peer.restarts)")
        finally:
            self._link("up")
        up = time.monotonic()
        self.ann.until("[...demo.room.session.peers.values()].some((peer) => peer.connection.connectionState"
                       " === 'connected')", 40)
        self.ann.until_more()
        dora.until_more()
        restarts = [tab.figures()[0]["restarts"] for tab in (self.ann, dora)]
        return {"noticed_s": round(noticed, 1), "back_s": round(time.monotonic() - up, 1), "restarts": restarts}

    def _link(self, state):
        subprocess.run(["ip", "-n", "nat-b", "link", "set", "wan", state], check=True)
        if state == "up":
            subprocess.run(["ip", "-n", "nat-b", "route", "replace", "default", "via", "12.1.0.1"], check=True)

    def killed(self):
        """A browser that dies without a word has vanished; its place is free for the next caller."""
        path = Path("udp", True, has_nats=True)
        for tab in (self.ann, self.ben):
            tab.set("call", path, "test")
        self.ann.click("start")
        self.ann.until_in_room()
        self.ben.click("start")
        self.ann.arrived(path)
        os.killpg(self.far.process.pid, signal.SIGKILL)
        begin = time.monotonic()
        self.ann.until_said("Ben has vanished", 20)
        noticed = time.monotonic() - begin
        # Its media might still come for some seconds, so it is kept as long.
        self.ann.until("demo.room.session.peers.size === 0", 25)
        self.dora = DemoChromium(self.scene.chromium("b"))
        self.dora.enter(self.ann.evaluate("location.href"), "Dora")
        self.dora.set("call", path, "test")
        self.dora.click("start")
        return {"noticed_s": round(noticed, 1), "next": self.dora.arrived(path)}


class Mixed(Group):
    """Eva in Chromium behind one NAT, Fox in Firefox behind the other one."""

    label = "chromium-firefox"

    def __init__(self, report, arguments, scene, link):
        super().__init__(report, arguments, scene)
        self.link = link

    def begin(self):
        """All enter the room."""
        near, far = self.scene.chromium("a"), self.scene.firefox("b")
        self.eva, self.eli = DemoChromium(near), DemoChromium(near)
        self.fox, self.fay = DemoFirefox(far), DemoFirefox(far)
        for tab, name in ((self.eva, "Eva"), (self.eli, "Eli"), (self.fox, "Fox"), (self.fay, "Fay")):
            tab.enter(self.link, name)

    def roles(self, path):
        """Firefox sends when only relays are allowed, Chromium when any path is."""
        return (self.fox, self.eva, self.eli) if path.is_relay else (self.eva, self.fox, self.fay)

    def captured(self, path):
        """What is captured: headless Firefox has no screen."""
        return "test"

    def run(self):
        """All cases."""
        if not self.report.run("Firefox enters a room of its own", self.begin):
            return
        for path in PATHS:
            self.systems(path)


if __name__ == "__main__":
    sys.exit(main())
