"""Starts the server under test: Turnpike, or coturn to check the tests themselves."""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
from dataclasses import dataclass, field

import processes
from report import Failure

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@dataclass
class Options:
    """The settings that a test changes; all others keep the server's defaults."""

    first_start: bool = False  # no configuration: default ports, generated user, self-signed certificate
    hosts: list = field(default_factory=lambda: ["127.0.0.1"])  # listening and relay addresses
    port: int = 3478  # UDP and TCP
    tls_port: int = 5349
    users: dict = field(default_factory=dict)
    secret: str = ""
    certificate: object = None  # an Authority
    allow_peers: list = field(default_factory=list)
    settings: dict = field(default_factory=dict)  # further keys, Turnpike only
    configuration: str = ""  # a configuration file's text, Turnpike only
    prefix: list = field(default_factory=list)  # such as ip netns exec NAME


def add_arguments(parser):
    """Adds the options that choose the server, the same for every script."""
    parser.add_argument("--server", choices=["turnpike", "coturn"], default="turnpike", help="the server under test")
    parser.add_argument("--turnpike", default=os.environ.get("TURNPIKE_PROGRAM", ""), help="path of the program")


def arguments(description, **options):
    """Reads the arguments of a suite; `options` are further arguments of text, with their help."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    add_arguments(parser)
    for name, text in options.items():
        parser.add_argument(f"--{name}", default="", help=text)
    return parser.parse_args()


def program(arguments):
    """Returns the path of the chosen server, or None if it does not exist."""
    if arguments.server == "coturn":
        return shutil.which("turnserver")
    return built("turnpike", arguments.turnpike)


def built(name, chosen=""):
    """Returns the path of our program, `chosen` if given, or None if it is not built."""
    folders = [os.path.join(REPOSITORY, ".build", configuration) for configuration in ("release", "debug")]
    for path in [chosen] if chosen else [os.path.join(folder, name) for folder in folders]:
        if os.access(path, os.X_OK):
            return os.path.abspath(path)
    return None


class Server(processes.Owned):
    """A running server; a context manager. `ice_servers` is its printed line, as Python values."""

    def __init__(self, arguments, options):
        self.options = options
        self.kind = arguments.server
        super().__init__("server", "server-log.txt")
        self.output = os.path.join(self.directory, "server-output.txt")
        self.begin(lambda: self._find_and_start(arguments))

    def close(self):
        """Stops the server at once (the second signal ends a drain) and removes its files."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(0.3)
            except subprocess.TimeoutExpired:
                pass
        super().close()

    def alive(self):
        """Whether the server is still running."""
        return self.process.poll() is None

    def explain(self):
        """Returns the end of the server's log."""
        return f"{self.kind} log:\n{processes.tail(self.log)}"

    def urls(self, scheme, transport, host=None):
        """Returns the iceServers entry for one scheme and transport, with its host replaced by `host` if given."""
        chosen = []
        for entry in self.ice_servers:
            urls = entry["urls"] if isinstance(entry["urls"], list) else [entry["urls"]]
            for url in urls:
                if url.startswith(scheme + ":") and _transport(url) == transport:
                    chosen.append({**entry, "urls": [_with_host(url, host) if host else url]})
        if not chosen:
            raise Failure(f"the server printed no {scheme}: URL over {transport}: {json.dumps(self.ice_servers)}")
        return chosen

    def _find_and_start(self, arguments):
        path = program(arguments)
        if path is None:
            raise Failure(f"there is no {arguments.server} to start; build it first or name it with --turnpike")
        self._start(self._coturn(path) if self.kind == "coturn" else self._turnpike(path))

    def _start(self, command):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TURNPIKE_")}
        environment["XDG_STATE_HOME"] = self.directory
        with open(self.output, "wb") as output:
            self.process = processes.start(self.options.prefix + command, self.log, stdout=output,
                                           stdin=subprocess.DEVNULL, cwd=self.directory, env=environment)
        ready = r"SQLite DB connection success" if self.kind == "coturn" else r"\bready\b"
        if not processes.wait_for_line(self.log, ready, self.process, 20):
            raise Failure(f"{self.kind} did not get ready: {' '.join(command)}\n{processes.tail(self.log)}")
        if self.kind == "coturn":
            self.ice_servers = self._made_up_servers()
            return
        line = processes.wait_for_line(self.output, r'^\{"iceServers":.*\}$', self.process, 3)
        if line:
            self.ice_servers = json.loads(line.group(0))["iceServers"]
        elif self.options.first_start:
            raise Failure(f"a first start printed no iceServers line\n{processes.tail(self.log)}")
        else:
            self.ice_servers = self._made_up_servers()

    def _turnpike(self, path):
        options = self.options
        settings = {"state-directory": os.path.join(self.directory, "state"), **options.settings}
        if not options.first_start:
            hosts = [f"[{host}]" if ":" in host else host for host in options.hosts]
            ports = (("udp", options.port), ("tcp", options.port), ("tls", options.tls_port),
                     ("dtls", options.tls_port))
            settings.setdefault("listeners",
                                ",".join(f"{kind}://{host}:{port}" for host in hosts for kind, port in ports))
            settings["relay.addresses"] = ",".join(options.hosts)
            settings.setdefault("admin.listen", "")
        if options.users:
            settings["auth.users"] = ",".join(f"{name}={password}" for name, password in options.users.items())
        if options.secret:
            settings["auth.secrets"] = options.secret
        if options.certificate:
            settings["tls.certificate"] = options.certificate.chain
            settings["tls.private-key"] = options.certificate.key
        if options.allow_peers:
            settings["peers.allow"] = ",".join(options.allow_peers)
        command = [path]
        if options.configuration:
            file = os.path.join(self.directory, "turnpike.yml")
            pathlib.Path(file).write_text(options.configuration, encoding="utf-8")
            command += ["--config", file]
        return command + [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]

    def _coturn(self, path):
        options = self.options
        if options.first_start:  # coturn generates no user: it gets one like Turnpike's
            options.users = {"turnpike": "generated"}
            from certificates import Authority
            options.certificate = Authority(self.directory)
        command = [path, "-n", "--listening-port", str(options.port), "--tls-listening-port", str(options.tls_port),
                   "-a", "-r", "turnpike", "--no-cli", "-l", self.log, "--simple-log", "--no-stdout-log", "-v",
                   "--pidfile", os.path.join(self.directory, "pid"), "-b", os.path.join(self.directory, "users.db"),
                   "--no-multicast-peers", "--allow-loopback-peers", "--log-binding"]
        for host in options.hosts:
            command += ["-L", host, "-E", host]
        for name, password in options.users.items():
            command += ["-u", f"{name}:{password}"]
        if options.secret:
            command += ["--use-auth-secret", f"--static-auth-secret={options.secret}"]
        if options.certificate:
            command += ["--cert", options.certificate.chain, "--pkey", options.certificate.key]
        return command

    def _made_up_servers(self):
        host = self.options.hosts[0]
        host = f"[{host}]" if ":" in host else host
        port, tls_port = self.options.port, self.options.tls_port
        urls = [f"turn:{host}:{port}?transport=udp", f"turn:{host}:{port}?transport=tcp",
                f"turns:{host}:{tls_port}?transport=tcp"]
        name, password = next(iter(self.options.users.items()), ("", ""))
        return [{"urls": urls, "username": name, "credential": password}]


def _transport(url):
    query = url.partition("?")[2]
    if query.startswith("transport="):
        return query[len("transport="):]
    return "tcp" if url.startswith("turns:") else "udp"


def _with_host(url, host):
    scheme, _, rest = url.partition(":")
    authority, mark, query = rest.partition("?")
    bracket = authority.rfind("]")
    colon = authority.find(":", bracket + 1)
    port = authority[colon:] if colon >= 0 else ""
    return f"{scheme}:{host}{port}{mark}{query}"
