#!/usr/bin/python3
"""Client certificates (`tls.client-ca`) and several server certificates (`tls.certificates`), with openssl s_client,
coturn's turnutils_uclient and stunclient.

Exit status: the number of failed cases.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import isolation
import processes
import server
import uclient
from certificates import Authority
from report import Failure, Report

USER = ("alice", "correct horse")
CREDENTIALS = ["-u", USER[0], "-w", USER[1]]
PORT, TLS_PORT = 23478, 23479
LISTENERS = f"udp://127.0.0.1:{PORT},tls://127.0.0.1:{TLS_PORT},dtls://127.0.0.1:{TLS_PORT}"


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report = Report("client_certificates")
    if not shutil.which("turnutils_uclient") or arguments.server == "coturn":
        report.skip("everything", "coturn's tools are not installed, or the server is coturn")
        return report.finish()
    isolation.enter(required=False)
    with tempfile.TemporaryDirectory(prefix="turnpike-interop-certificates-") as directory:
        paths = {name: os.path.join(directory, name) for name in ("server", "clients", "others", "north", "south")}
        for path in paths.values():
            os.mkdir(path)
        authorities = {name: Authority(path) for name, path in paths.items() if name in ("server", "clients", "others")}
        names = {name: named(paths[name], name) for name in ("north", "south")}
        with uclient.peers(directory):
            clients(arguments, report, authorities)
        several(arguments, report, authorities["server"], names, directory)
    return report.finish()


# Client certificates.

def clients(arguments, report, authorities):
    """A server that requires a certificate from its clients' authority."""
    options = server.Options(
        port=PORT, tls_port=TLS_PORT, users=dict([USER]), certificate=authorities["server"], allow_peers=["127.0.0.0/8"],
        settings={"listeners": LISTENERS, "tls.client-ca": authorities["clients"].root})
    good, wrong = authorities["clients"], authorities["others"]
    # A certificate for servers is not valid for clients.
    own = client_certificate(os.path.dirname(good.root), good)
    foreign = client_certificate(os.path.dirname(wrong.root), wrong)
    with server.Server(arguments, options) as running:
        suite = uclient.Suite(options)
        for transport, flags in (("tls", ["-t", "-S"]), ("dtls", ["-S"])):
            report.run(f"uclient with a certificate, {transport}", lambda f=flags: suite.relay(
                "127.0.0.1", "127.0.0.1", CREDENTIALS + f + ["-i", own[0], "-k", own[1]], True))
            for what, pair in (("without a certificate", None), ("with another authority's", foreign)):
                report.run(f"openssl {what}, {transport}", lambda p=pair, t=transport: refused(t, p))
                report.run(f"stunclient {what}, {transport}",
                           lambda p=pair, t=transport: probe(authorities["server"], t, p, 2))
            report.run(f"openssl with a certificate, {transport}", lambda t=transport: accepted(t, own))
            report.run(f"stunclient with a certificate, {transport}",
                       lambda t=transport: probe(authorities["server"], t, own, 0))
        report.run("plain messages to a TLS listener are refused", plain)
        report.run("the log names the reason", lambda: logged(
            running, r"client-certificate-refused client=127\.0\.0\.1:\d+ transport=tls reason=\"peer did not return"))
        report.run("the log names the verdict", lambda: logged(
            running, r"client-certificate-refused .*transport=dtls"))


def client_certificate(directory, authority):
    """Makes a client's certificate and key; returns their paths."""
    key, request, chain, extensions = (os.path.join(directory, f"client.{end}") for end in ("key", "csr", "pem", "cnf"))
    pathlib.Path(extensions).write_text("extendedKeyUsage=clientAuth\n", encoding="ascii")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", request,
            "-subj", "/CN=client")
    openssl("x509", "-req", "-in", request, "-CA", authority.root, "-CAkey", os.path.join(directory, "root.key"),
            "-set_serial", "7", "-days", "2", "-extfile", extensions, "-out", chain)
    return chain, key


def s_client(transport, *options, seconds=3):
    """Runs `openssl s_client` with a Binding request as its input. Returns its output."""
    version = ["-dtls1_2"] if transport == "dtls" else []
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{TLS_PORT}", *version, *options]
    binding = bytes.fromhex("000100002112a442") + bytes(12)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        process.stdin.write(binding)
        process.stdin.flush()
        time.sleep(seconds / 3)
        output, _ = process.communicate(timeout=seconds)
    except (subprocess.TimeoutExpired, BrokenPipeError):
        process.kill()
        output, _ = process.communicate()
    return output


def pair_options(pair):
    """The options for a client's certificate."""
    return ["-cert", pair[0], "-key", pair[1]] if pair else []


def refused(transport, pair):
    """The handshake ends with an alert, and nothing is answered."""
    output = s_client(transport, *pair_options(pair))
    if b"\x01\x01" in output or not re.search(rb"alert (certificate required|unknown ca|handshake failure|bad cert)", output):
        raise Failure(f"no alert: {output[-300:]}")


def accepted(transport, pair):
    """The Binding is answered."""
    output = s_client(transport, *pair_options(pair))
    if b"\x01\x01\x00" not in output:
        raise Failure(f"no answer: {output[-300:]}")


def probe(authority, transport, pair, status):
    """Runs stunclient."""
    words = ["--certificate", pair[0], "--private-key", pair[1]] if pair else []
    result = subprocess.run(
        [stunclient(), "binding", "--ca", authority.root, *words, f"--{transport}", "127.0.0.1", str(TLS_PORT)],
        capture_output=True, text=True, timeout=30, check=False)
    if result.returncode != status:
        raise Failure(f"status {result.returncode}: {result.stdout[-300:]}{result.stderr[-300:]}")


def stunclient():
    """The path of stunclient: beside the server's program, or of the build."""
    chosen = os.environ.get("TURNPIKE_PROGRAM", "")
    return server.built("stunclient", os.path.join(os.path.dirname(chosen), "stunclient") if chosen else "")


def plain():
    """A Binding without TLS must not pass on a listener that requires certificates."""
    for transport in ("--tcp", "--udp"):
        result = subprocess.run([stunclient(), "binding", transport, "--timeout", "2", "127.0.0.1", str(TLS_PORT)],
                                capture_output=True, text=True, timeout=30, check=False)
        if result.returncode != 2:
            raise Failure(f"{transport}: status {result.returncode}: {result.stdout}{result.stderr}")


def logged(running, pattern, seconds=3):
    """Waits for a line of the log."""
    if not processes.wait_for_line(running.log, pattern, running.process, seconds):
        raise Failure(f"no line {pattern}\n{running.explain()}")


# Several certificates.

def named(directory, name):
    """Makes a self-signed certificate for NAME.example and *.NAME.example; returns the paths of it and of its key."""
    chain, key = os.path.join(directory, "chain.pem"), os.path.join(directory, "key.pem")
    make_named(chain, key, name)
    return chain, key


def make_named(chain, key, name):
    """Writes the files of `named`."""
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out",
            chain, "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}.example,DNS:*.{name}.example")
    os.chmod(key, 0o600)


def several(arguments, report, authority, names, directory):
    """A server with a standard certificate and two more."""
    pairs = ", ".join(f"{{ certificate: {chain}, private-key: {key} }}" for chain, key in names.values())
    options = server.Options(
        port=PORT, tls_port=TLS_PORT, users=dict([USER]), certificate=authority,
        settings={"listeners": LISTENERS, "tls.certificates": f"[ {pairs} ]"})
    with server.Server(arguments, options) as running:
        cases = [(None, "localhost"), ("elsewhere.example", "localhost"), ("north.example", "north"),
                 ("NORTH.example", "north"), ("turn.north.example", "north"), ("a.b.north.example", "localhost"),
                 ("turn.south.example", "south"), ("south.example", "south")]
        for transport in ("tls", "dtls"):
            for name, subject in cases:
                report.run(f"{transport}, {name}: {subject}", lambda t=transport, n=name, s=subject: shows(t, n, s))
        report.run("a session is resumed with its name", lambda: resumed(directory, "north.example", "Reused"))
        report.run("a session is not resumed with another name", lambda: resumed(directory, "south.example", "New"))
        report.run("a changed certificate is read", lambda: changed(running, names["south"]))
        report.run("a broken certificate keeps the earlier ones", lambda: broken(running, names["south"]))


def shows(transport, name, subject):
    """Fails unless the certificate for this server name has this subject."""
    output = s_client(transport, *(["-servername", name] if name else ["-noservername"]))
    found = re.search(rb"subject=CN = (\S+)", output)
    if not found or found.group(1).decode() != subject:
        raise Failure(f"{found and found.group(1)}: {output[-200:]}")


def resumed(directory, name, word):
    """Resumes a session of north.example with a name, with TLS 1.2 and 1.3."""
    for version in ("-tls1_2", "-tls1_3"):
        session = os.path.join(directory, "session.pem")
        s_client("tls", version, "-servername", "north.example", "-sess_out", session)
        output = s_client("tls", version, "-servername", name, "-sess_in", session)
        if f"{word}, TLS".encode() not in output:
            raise Failure(f"{version}: not {word}: {output[-300:]}")


def changed(running, pair):
    """A new file is used without a signal."""
    make_named(pair[0] + ".new", pair[1] + ".new", "west")
    os.replace(pair[1] + ".new", pair[1])
    os.replace(pair[0] + ".new", pair[0])
    # The server looks at its files every five seconds.
    logged(running, "certificates-loaded", 15)
    shows("tls", "west.example", "west")
    shows("dtls", "turn.west.example", "west")
    shows("tls", "south.example", "localhost")


def broken(running, pair):
    """With a broken certificate a reload is refused, and all certificates stay."""
    pathlib.Path(pair[0]).write_text("no certificate\n", encoding="ascii")
    running.process.send_signal(signal.SIGHUP)
    logged(running, "reload-failed")
    shows("tls", "west.example", "west")
    shows("tls", "north.example", "north")


def openssl(*arguments):
    """Runs a command of openssl."""
    result = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {result.stderr.strip()}")


if __name__ == "__main__":
    sys.exit(main())
