#!/usr/bin/python3
"""The demo page between two symmetric NATs: its five systems over UDP, TCP and TLS, with relays only and with any path.

Three groups of people at the same time, each in a room of its own: one with Chromium alone, one with Chromium behind
one NAT and Firefox behind the other, and one (demo_outages.py) whose NAT loses its network for a while and whose
browser is killed. The page comes over HTTPS by a name, with a certificate that the browsers trust.

Exit status: the number of failed cases.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading

import chromium
import demo_systems as systems
import firefox
import isolation
import server
from certificates import Authority
from demo_group import Group
from demo_outages import Outages
from demo_page import DemoChromium, DemoFirefox, Path
from network import SERVER, Network
from report import Report

NAME = "turn.test"
PAGE = f"https://{NAME}:8478/demo"
TOKEN = "demo-token"
LANS = ("10.1.0", "10.2.0", "10.3.0")
PATHS = [Path(transport, is_relay, has_nats=True) for is_relay in (True, False) for transport in ("udp", "tcp", "tls")]


def main():
    """Runs the suite."""
    arguments = server.arguments(
        __doc__, only="run only the cases whose name contains this",
        outages="run only outages of these seconds, such as 5,20,60, for Chromium and for Firefox")
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
    """Three NATs, the server, and the browsers behind the NATs."""

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
    """Runs the groups beside each other."""
    first = Chromiums(report, arguments, scene)
    if not report.run("the page asks for the token and makes a room", first.begin):
        return
    groups = [Outages(report, arguments, scene, first.link_of("third"))]
    reason = firefox.drivable()
    if reason:
        report.skip("firefox", reason)
    else:
        groups.append(Mixed(report, arguments, scene, first.link_of("second")))
    if arguments.outages:
        groups = groups[:1]
    # Groups begin one after another: a browser that starts beside four others may take longer than its driver waits.
    groups = [group for group in groups if report.run(group.entry, group.begin)]
    threads = [threading.Thread(target=group.run) for group in groups + ([] if arguments.outages else [first])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Chromiums(Group):
    """Ann behind one NAT; Ben and Cem behind the other one."""

    label = "chromium-chromium"

    def begin(self):
        """Ann makes a room with the token; the others need only its link."""
        self.ann = DemoChromium(self.scene.chromium("a"))
        self.ann.open(PAGE)
        self.ann.give_token(TOKEN)
        self.ann.until("location.hash.length > 20 && document.getElementById('state').className === 'pill ready'")
        link = self.ann.evaluate("location.href")
        self.ann.name = self.ann.evaluate("document.getElementById('name').value")
        far = self.scene.chromium("b")
        self.ben, self.cem = DemoChromium(far), DemoChromium(far)
        self.ben.enter(link, "Ben")
        self.cem.enter(link, "Cem")

    def link_of(self, room):
        """The link of another room, for which the token is needed."""
        answer = self.ann.evaluate(f"fetch('/demo/access?room={room}', {{headers: {{Authorization: "
                                   f"'Bearer {TOKEN}'}}}}).then((answer) => answer.text())")
        document = json.loads(answer)
        return f"{PAGE}#{room}.{document['key']}"

    def roles(self, path):
        """Ann sends; Ben and Cem receive behind the other NAT."""
        return self.ann, self.ben, self.cem

    def captured(self, path):
        """The source for captures: the screen with its sound over UDP, else the test picture."""
        return "screen" if path.transport == "udp" else "test"

    def run(self):
        """All cases."""
        for path in PATHS:
            self.systems(path)


class Mixed(Group):
    """Eva in Chromium behind one NAT, Fox in Firefox behind the other one."""

    label = "chromium-firefox"
    entry = "Firefox enters a room of its own"

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
        """The source for captures: the test picture, because headless Firefox has no screen."""
        return "test"

    def run(self):
        """All cases."""
        for path in PATHS:
            self.systems(path)
            if path.is_relay and path.transport != "tcp":
                self.reverse(path)

    def reverse(self, path):
        """With relays only Firefox also receives: as a watcher, as a fan, and in a recording."""
        cases = (("one-way", lambda: systems.one_way(path, self.eva, self.fox, self.fay)),
                 ("a recording", lambda: systems.capture(path, self.eva, self.fox, "test")),
                 ("a live page", lambda: systems.live_page(path, self.eva, self.fox, self.fay, "test")))
        for name, function in cases:
            self.case(f"Firefox receives, {name} {path}", function)


if __name__ == "__main__":
    sys.exit(main())
