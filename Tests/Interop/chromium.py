"""Controls Chromium over its DevTools pipe: without a port or driver program, and across network namespaces."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time

import certificates
import processes

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")


def installed():
    """Returns the path of Chromium, or None."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path:
            return path
    return None


class Chromium(processes.Owned):
    """A running headless Chromium with its own profile; a context manager.

    `root` is a certificate authority that it trusts; with `any_certificate` it accepts every certificate.
    `prefix` is a command that runs it, such as `ip netns exec NAME`.
    """

    name = "chromium"
    tells_errors = True  # fires icecandidateerror

    def __init__(self, root=None, any_certificate=False, prefix=()):
        super().__init__("chromium", "browser-log.txt")
        self._buffer = b""
        self._number = 0
        if root:
            certificates.trust_in_nss(os.path.join(self.directory, ".pki", "nssdb"), root)
        self.begin(lambda: self._start(any_certificate, list(prefix)))

    def page(self):
        """Opens a tab with the call page."""
        target = self.request("Target.createTarget", {"url": f"file://{PAGE}"}, 20)["targetId"]
        session = self.request("Target.attachToTarget", {"targetId": target, "flatten": True}, 10)["sessionId"]
        page = Page(self, session, target)
        page.wait_until_loaded()
        return page

    def close(self):
        """Ends the browser and removes its profile."""
        super().close()
        for descriptor in ("_to_browser", "_from_browser"):
            if hasattr(self, descriptor):
                os.close(getattr(self, descriptor))
                delattr(self, descriptor)

    def request(self, method, parameters, seconds, session=None):
        """Sends one DevTools command and waits for its answer; events in between are dropped."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while True:
            answer = self._receive(deadline, method)
            if answer.get("id") != self._number:
                continue
            if "error" in answer:
                raise RuntimeError(f"Chromium refused {method}: {answer['error'].get('message')}")
            return answer["result"]

    def _receive(self, deadline, method):
        while b"\0" not in self._buffer:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not select.select([self._from_browser], [], [], remaining)[0]:
                raise TimeoutError(f"Chromium did not answer {method}\n{processes.tail(self.log, 8)}")
            data = os.read(self._from_browser, 1 << 20)
            if not data:
                raise RuntimeError(f"Chromium ended\n{processes.tail(self.log, 8)}")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _start(self, any_certificate, prefix):
        commands, self._to_browser = os.pipe()
        self._from_browser, answers = os.pipe()
        flags = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            f"--user-data-dir={self.directory}/profile", "--remote-debugging-pipe", "--password-store=basic",
            "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
            "--allow-loopback-in-peer-connection", "--autoplay-policy=no-user-gesture-required", "--mute-audio",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
            "--disable-backgrounding-occluded-windows", "--disable-extensions", "--allow-file-access-from-files",
        ]
        if any_certificate:
            flags.append("--ignore-certificate-errors")
        # Chromium needs the pipe on descriptors 3 and 4; high numbers first, so that neither overwrites the other.
        high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 100) for descriptor in (commands, answers)]
        code = "import os, sys; os.dup2({}, 3); os.dup2({}, 4); os.execvp(sys.argv[1], sys.argv[1:])".format(*high)
        trampoline = [sys.executable, "-c", code]
        environment = dict(os.environ, HOME=self.directory, TMPDIR=self.directory)
        command = trampoline + prefix + [installed()] + flags + ["about:blank"]
        self.process = processes.start(command, self.log, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       env=environment, pass_fds=high)
        for descriptor in (commands, answers, *high):
            os.close(descriptor)
        self.request("Browser.getVersion", {}, 30)


class Page:
    """A tab with the call page. `call` runs one of its functions and returns the result."""

    def __init__(self, browser, session, target):
        self.browser = browser
        self.session = session
        self.target = target

    def close(self):
        """Closes the tab."""
        self.browser.request("Target.closeTarget", {"targetId": self.target}, 10)

    def call(self, function, *arguments, seconds=20):
        """Runs `call.function(arguments…)` in the page."""
        listed = ", ".join(json.dumps(argument) for argument in arguments)
        return json.loads(self.evaluate(f"call.{function}({listed}).then((value) => JSON.stringify(value))", seconds))

    def evaluate(self, expression, seconds=20):
        """Evaluates an expression, awaiting it if it is a promise."""
        parameters = {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        result = self.browser.request("Runtime.evaluate", parameters, seconds, self.session)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise RuntimeError("page: " + details.get("exception", {}).get("description", details.get("text", "?")))
        return result["result"].get("value")

    def wait_until_loaded(self):
        """Waits for the page's script."""
        deadline = time.monotonic() + 20
        while self.evaluate("typeof call") != "object":
            if time.monotonic() > deadline:
                raise TimeoutError("the call page did not load in Chromium")
            time.sleep(0.05)
