#!/usr/bin/python3
"""`turnpike demo` and `turnpike demo --lan` as a person uses them: the page over HTTPS with the self-signed
certificate, opened from another device (a network namespace) in Chromium and Firefox, camera and calls there, and the
QR code of the link, read by zbarimg from a picture of the page.

Exit status: the number of failed cases.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import chromium
import demo_systems as systems
import firefox
import isolation
import processes
import server
from demo_page import MIRROR, DemoChromium, DemoFirefox, Path
from report import Failure, Report

HOME, PHONE = "192.168.7.1", "192.168.7.2"
SECURE, PLAIN = 8478, 8479

# Takes connections of other devices and passes them to the server on loopback: a proxy without TLS.
PROXY = """
import asyncio
async def copy(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
async def serve(reader, writer):
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int({port}))
    await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer), return_exceptions=True)
async def main():
    async with await asyncio.start_server(serve, "{host}", int({port})) as server:
        print("ready", flush=True)
        await server.serve_forever()
asyncio.run(main())
"""


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__, pictures="a folder for pictures")
    report = Report("demo_lan")
    if arguments.server == "coturn" or not chromium.installed():
        report.skip("everything", "there is no Chromium, or the server is not the one that has a demo page")
        return report.finish()
    if not isolation.enter(required=True):
        report.skip("everything", "network namespaces are refused here; NO DEMO ON A LAN WAS TESTED")
        return report.finish()
    _make_network()
    with contextlib.ExitStack() as stack:
        suite = Suite(report, arguments, stack)
        suite.secure()
        suite.plain()
    return report.finish()


def _make_network():
    """Two devices on one LAN."""
    for words in ("netns add home", "netns add phone", "-n home link set lo up", "-n phone link set lo up",
                  "-n home link add lan type veth peer name lan netns phone",
                  f"-n home address add {HOME}/24 dev lan", f"-n phone address add {PHONE}/24 dev lan",
                  "-n home link set lan up", "-n phone link set lan up",
                  "-n home route add default via 192.168.7.254", "-n phone route add default via 192.168.7.254"):
        subprocess.run(["ip", *words.split()], check=True)


def _inside(name):
    return ["ip", "netns", "exec", name]


class Demo(processes.Owned):
    """A running `turnpike demo`; `link` is the link that it prints."""

    def __init__(self, arguments, *words):
        super().__init__("demo", "server-log.txt")
        self.begin(lambda: self._start(server.program(arguments), words))

    def _start(self, program, words):
        output = os.path.join(self.directory, "output.txt")
        command = [*_inside("home"), program, "demo", *words, "--set",
                   f"state-directory={os.path.join(self.directory, 'state')}"]
        with open(output, "wb") as file:
            self.process = processes.start(command, self.log, stdout=file, stdin=subprocess.DEVNULL, cwd=self.directory)
        line = processes.wait_for_line(output, r"^(https?://\S+)$", self.process, 20)
        if not line:
            raise Failure(f"turnpike demo printed no link\n{processes.tail(self.log)}")
        self.link = line.group(1)


class Suite:
    """The cases."""

    def __init__(self, report, arguments, stack):
        self.report, self.arguments, self.stack = report, arguments, stack
        self.phone = stack.enter_context(chromium.Chromium(prefix=_inside("phone")))

    def secure(self):
        """The cases over HTTPS, with a certificate that the browsers do not know."""
        with Demo(self.arguments, "--lan") as demo:
            ann = DemoChromium(self.phone)
            if not self.report.run("a phone opens the page after the warning, and may use its camera",
                                   lambda: self.opened(ann, demo.link)):
                print(processes.tail(demo.log), flush=True)
                return
            self.report.run("the QR code is the link", lambda: self.code(ann, demo.link))
            reason = firefox.drivable()
            if reason:
                self.report.skip("firefox", reason)
                return
            with firefox.Firefox(prefix=_inside("home")) as browser:
                fox = DemoFirefox(browser)
                if self.report.run("the same in Firefox", lambda: self.opened(fox, demo.link)):
                    for path in (Path("any", False), Path("tcp", True)):
                        self.report.run(f"a call between the two devices, {path}",
                                        lambda p=path: systems.call_of_two(p, ann, fox))

    def opened(self, tab, link):
        """A browser warns, a person goes on, and the page may use the camera."""
        if not link.startswith(f"https://{HOME}:{SECURE}/demo#demo."):
            raise Failure(f"the link is {link}")
        warning = tab.open_untrusted(link)
        tab.enter(link, "Ann" if isinstance(tab, DemoChromium) else "Fox")
        if not tab.evaluate("isSecureContext && document.getElementById('insecure').hidden"):
            raise Failure("the page is not in a secure context")
        tab.set("call", Path("any", False))
        if not tab.evaluate("document.getElementById('source').value").startswith("camera:"):
            raise Failure("no camera is offered")
        tab.click("loopback")
        figures = tab.arrived(Path("any", False), MIRROR)
        tab.click("hang-up")
        return {"warning": warning, "call": figures}

    def code(self, tab, link):
        """An independent reader finds the link in a picture of the page."""
        tab.click("show-link")
        shown = tab.evaluate("document.getElementById('link-text').value")
        words = tab.text("link-words")
        picture = os.path.join(self.arguments.pictures or self.phone.directory, "link.png")
        tab.picture(picture)
        tab.evaluate("document.getElementById('link-dialog').close()")
        if shown != link:
            raise Failure(f"the link is {link}, and the page shows {shown}")
        if "certificate" not in words or "Advanced" not in words:
            raise Failure(f"the page does not say what to do about the certificate: {words}")
        if not shutil.which("zbarimg"):
            self.report.skip("the picture of the code", "zbarimg (Debian: zbar-tools) is not installed")
            return {}
        result = subprocess.run(["zbarimg", "--quiet", "--raw", picture], capture_output=True, text=True, check=False)
        if result.stdout.strip() != link:
            raise Failure(f"zbarimg reads {result.stdout!r}, not {link}")
        return {"bytes": len(link)}

    def plain(self):
        """The cases without HTTPS: on the computer itself, and through a proxy from another device."""
        with Demo(self.arguments, "--set", f"admin.listen=127.0.0.1:{PLAIN}") as demo:
            with chromium.Chromium(prefix=_inside("home")) as browser:
                self.report.run("on localhost the camera works without HTTPS",
                                lambda: self.local(DemoChromium(browser), demo.link))
            proxy = processes.start([*_inside("home"), sys.executable, "-c", PROXY.format(host=HOME, port=PLAIN)],
                                    demo.log, stdout=subprocess.PIPE, text=True)
            try:
                proxy.stdout.readline()
                link = demo.link.replace("127.0.0.1", HOME)
                self.report.run("without HTTPS off localhost the page says why there is no camera",
                                lambda: self.insecure(DemoChromium(self.phone), link))
            finally:
                processes.stop(proxy)

    def local(self, tab, link):
        """The link is for this computer only, and the page says so."""
        if not link.startswith(f"http://127.0.0.1:{PLAIN}/demo#demo."):
            raise Failure(f"the link is {link}")
        tab.enter(link, "Ann")
        tab.set("call", Path("any", False))
        if not tab.evaluate("document.getElementById('source').value").startswith("camera:"):
            raise Failure("no camera is offered")
        tab.click("show-link")
        words = tab.text("link-words")
        if "only on this computer" not in words or "turnpike demo --lan" not in words:
            raise Failure(f"the page does not say how others can enter: {words}")
        if tab.evaluate("document.getElementById('link-code').checkVisibility()"):
            raise Failure("the page shows a QR code of a link that works on no other device")

    def insecure(self, tab, link):
        """Only the test picture is there; it works, and a file is refused in words."""
        tab.enter(link, "Ann")
        words = tab.text("insecure")
        if tab.evaluate("document.getElementById('insecure').hidden") or "turnpike demo --lan" not in words:
            raise Failure(f"the page does not say why: {words}")
        path = Path("any", False)
        tab.set("data", path)
        if tab.texts("#source option") != ["Test picture and tone"]:
            raise Failure(f"sources: {tab.texts('#source option')}")
        tab.click("loopback")
        tab.arrived(path, MIRROR)
        tab.until("demo.room.panels.peers[0]?.channel.readyState === 'open'")
        tab.evaluate("demo.room.panels.peers[0].transfer.send(new File(['x'], 'x')).catch((error) =>"
                     " { document.getElementById('file-words').textContent = error.message; })")
        tab.until("document.getElementById('file-words').textContent.includes('HTTPS')")
        return {"words": words}


if __name__ == "__main__":
    sys.exit(main())
