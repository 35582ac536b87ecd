#!/usr/bin/python3
"""Calls between real browsers through the server: relay only, over UDP, TCP and TLS.

Two RTCPeerConnections with the iceServers that the server printed; audio and video of fake devices and 1 MiB of
data must arrive. See README.md in this folder. Exit status: the number of failed cases.
"""

import contextlib
import sys
import tempfile

import call
import chromium
import firefox
import isolation
import server
from certificates import Authority
from report import Failure, Report

CALL_SECONDS = 60
# Name, URL scheme and transport of the iceServers entry, and its name in getStats.
TRANSPORTS = (("udp", "turn", "udp", "udp"), ("tcp", "turn", "tcp", "tcp"), ("tls", "turns", "tcp", "tls"))


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__, only="run only the cases whose name contains this")
    alone = isolation.enter(required=False)
    if alone:
        isolation.look_like_a_laptop()
    return Suite(arguments, alone).run()


class Suite:
    """The cases, and their shared browsers."""

    def __init__(self, arguments, alone):
        self.arguments = arguments
        self.report = Report("browser_call")
        # Without a private network namespace the standard ports may be in use by another server.
        self.ports = {} if alone else {"port": 23478, "tls_port": 23479}
        self.alone = alone
        self.stack = contextlib.ExitStack()

    def run(self):
        """Runs every case and returns the exit status."""
        with self.stack, tempfile.TemporaryDirectory(prefix="turnpike-interop-ca-") as directory:
            if not chromium.installed():
                self.report.skip("chromium", "Chromium is not installed; NO CALL OF CHROMIUM WAS TESTED")
            reason = firefox.drivable()
            if reason:
                self.report.skip("firefox", f"{reason}; NO CALL OF FIREFOX WAS TESTED")
            self.first_start(bool(chromium.installed()), reason is None)
            self.own_certificate(Authority(directory), bool(chromium.installed()), reason is None)
        return self.report.finish()

    def first_start(self, with_chromium, with_firefox):
        """Starts a server without any configuration; the browsers get the line that it printed."""
        options = server.Options(first_start=self.alone, users={} if self.alone else {"alice": "secret"}, **self.ports)
        with self.server(options) as running:
            if running and with_chromium:
                with self.browser(chromium.Chromium, any_certificate=True) as browser:
                    self.first_start_chromium(running, browser)
            if running and with_firefox:  # Firefox accepts no certificate that it cannot verify: no TLS here
                with self.browser(firefox.Firefox) as browser:
                    for name, scheme, transport, protocol in TRANSPORTS[:2]:
                        self.call_case(f"first start: firefox-firefox over {name}", running, (browser, browser),
                                       lambda s=scheme, t=transport: running.urls(s, t), protocol)

    def first_start_chromium(self, running, browser):
        """Tests each printed URL alone, then the whole line. It has no turns URL: the certificate is self-signed."""
        for name, scheme, transport, protocol in TRANSPORTS[:2]:
            self.call_case(f"first start: chromium-chromium over {name}", running, (browser, browser),
                           lambda s=scheme, t=transport: running.urls(s, t), protocol)
        self.call_case("first start: chromium-chromium, all that was printed", running, (browser, browser),
                       lambda: running.ice_servers, None)
        for name, scheme, transport, _ in TRANSPORTS[:2]:
            self.refusal_case(f"wrong password: chromium over {name}", browser,
                              lambda s=scheme, t=transport: running.urls(s, t))

    def own_certificate(self, authority, with_chromium, with_firefox):
        """Tests both browsers with a certificate that they verify, for the name localhost."""
        options = server.Options(users={"alice": "secret"}, certificate=authority, **self.ports)
        makers = [(chromium.Chromium, with_chromium), (firefox.Firefox, with_firefox)]
        with contextlib.ExitStack() as stack:
            running = stack.enter_context(self.server(options))
            if not running:
                return
            browsers = {}
            for maker, wanted in makers:
                if wanted:
                    browser = stack.enter_context(self.browser(maker, root=authority.root))
                    if browser:
                        browsers[browser.name] = browser
            pairs = [("firefox", "firefox"), ("chromium", "firefox"), ("firefox", "chromium")]
            pairs = [pair for pair in pairs if set(pair) <= set(browsers)]
            for pair in pairs:
                for name, scheme, transport, protocol in TRANSPORTS:
                    self.call_case(f"{'-'.join(pair)} over {name}", running, [browsers[one] for one in pair],
                                   lambda s=scheme, t=transport: running.urls(s, t, _name(s)), protocol)
            if "chromium" in browsers:
                chrome = browsers["chromium"]
                self.call_case("verified certificate: chromium-chromium over tls", running, (chrome, chrome),
                               lambda: running.urls("turns", "tcp"), "tls")
                self.refusal_case("wrong password: chromium over tls", chrome, lambda: running.urls("turns", "tcp"))
            if "firefox" in browsers:
                for name, scheme, transport, _ in TRANSPORTS:
                    self.refusal_case(f"wrong password: firefox over {name}", browsers["firefox"],
                                      lambda s=scheme, t=transport: running.urls(s, t, _name(s)))

    def call_case(self, name, running, browsers, servers, protocol):
        """Makes one call; everything must arrive, and through relays only."""
        if self.arguments.only not in name or None in browsers:
            return

        def body():
            own = servers()
            pages = [browser.page() for browser in browsers]
            try:
                progress = call.establish(*pages, (own, own), "relay", CALL_SECONDS, call.everything_arrived)
                call.demand_everything(*progress)
                call.demand_relays(protocol, *progress)
                if not running.alive():
                    raise Failure("the server ended during the call")
            finally:
                call.stop(*pages)
                for page in pages:
                    page.close()
            return call.figures(*progress)

        if not self.report.run(name, body):
            print(running.explain(), flush=True)

    def refusal_case(self, name, browser, servers):
        """Tests a wrong password: no relay candidate, and (in browsers that have it) an error event with 401."""
        if self.arguments.only not in name or browser is None:
            return

        def body():
            wrong = [{**entry, "credential": "not-" + entry["credential"]} for entry in servers()]
            page = browser.page()
            progress = call.gather(page, wrong)
            page.close()
            found = [text for text in progress["gathered"] if " typ relay" in text]
            codes = sorted({error["code"] for error in progress["errors"]})
            if found:
                raise Failure(f"a relay candidate in spite of the wrong password: {found[0]}")
            if not browser.tells_errors and not codes:
                return {"candidates": len(found), "codes": "this browser never fires icecandidateerror"}
            if 401 not in codes:
                raise Failure(f"no icecandidateerror 401, only {progress['errors']}")
            text = next(error["text"] for error in progress["errors"] if error["code"] == 401)
            return {"candidates": len(found), "codes": codes, "text": text}

        self.report.run(name, body)

    @contextlib.contextmanager
    def server(self, options):
        """Returns the running server, or None after the failure was reported."""
        try:
            running = server.Server(self.arguments, options)
        except Failure as failure:
            self.report.run("server starts", lambda: _raise(failure))
            yield None
            return
        with running:
            yield running

    @contextlib.contextmanager
    def browser(self, maker, **options):
        """Returns the running browser, or None after the failure was reported."""
        try:
            running = maker(**options)
        except (RuntimeError, TimeoutError, OSError) as problem:
            self.report.run(f"{maker.name} starts", lambda: _raise(Failure(str(problem))))
            yield None
            return
        with running:
            yield running


def _name(scheme):
    """Firefox requires a host name for TLS."""
    return "localhost" if scheme == "turns" else None


def _raise(failure):
    raise failure


if __name__ == "__main__":
    sys.exit(main())
