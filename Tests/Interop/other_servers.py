#!/usr/bin/python3
"""stunclient against further servers besides coturn and pion's: p1_stun (Erlang, ejabberd's) and Vovida's stund
(RFC 3489).

Exit status: the number of failed cases.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

import isolation
import processes
from report import Failure, Report

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
ADDRESS, OTHER, PORT, OTHER_PORT = "127.0.0.1", "127.0.0.2", 3478, 3480
ALICE = {"STUNCLIENT_USERNAME": "alice", "STUNCLIENT_PASSWORD": "secret"}
STEPS = ["allocate", "peer", "permission", "send-echo", "channel-bind", "channel-echo", "refresh", "delete"]

ERLANG = f"""
  {{ok, _}} = application:ensure_all_started(stun),
  Password = fun(<<"alice">>, _) -> <<"secret">>; (_, _) -> <<>> end,
  Options = [{{use_turn, true}}, {{auth_type, user}}, {{auth_realm, <<"p1.test">>}}, {{auth_fun, Password}},
             {{turn_ipv4_address, {{127,0,0,1}}}}, {{turn_blacklist, []}}],
  ok = stun_listener:add_listener({{127,0,0,1}}, {PORT}, udp, Options),
  ok = stun_listener:add_listener({{127,0,0,1}}, {PORT}, tcp, Options),
  io:format("ready~n").
"""


def main():
    """Runs the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stunclient", default="", help="path of the program")
    arguments = parser.parse_args()
    report = Report("other_servers")
    program = _program(arguments)
    if not program:
        report.skip("everything", "stunclient is not built")
        return report.finish()
    isolation.enter(required=False)
    with tempfile.TemporaryDirectory(prefix="turnpike-interop-") as directory:
        for suite in (p1_stun, stund):
            suite(report, program, directory)
    return report.finish()


# The servers.

def p1_stun(report, program, directory):
    """Tests ejabberd's library: a relay with ten permissions for each allocation."""
    if not shutil.which("erl") or subprocess.run(
            ["erl", "-noshell", "-eval", "halt(case code:which(stun) of non_existing -> 1; _ -> 0 end)."],
            check=False).returncode != 0:
        report.skip("p1_stun", "erlang-p1-stun is not installed")
        return
    with _server(["erl", "-noshell", "-eval", ERLANG], directory):
        turn_server(report, program, "p1_stun", "wrong-credentials")


def stund(report, program, directory):
    """Tests Vovida's server: MAPPED-ADDRESS and CHANGE-REQUEST as in RFC 3489."""
    if not shutil.which("stund"):
        report.skip("stund", "stun-server is not installed")
        return
    command = ["stund", "-v", "-h", ADDRESS, "-a", OTHER, "-p", str(PORT), "-o", str(OTHER_PORT)]
    with _server(command, directory, ready=r"Opened port"):
        report.run("stund, Binding", lambda: _expect(
            ask(program, f"{ADDRESS}:{PORT}"), status="ok", software="Vovida.org 0.97",
            other_address=f"{OTHER}:{OTHER_PORT}"))
        report.run("stund, NAT behaviour", lambda: _expect(
            ask(program, "nat", f"{ADDRESS}:{PORT}"), mapping="direct", filtering="endpoint-independent", alg=False))


def turn_server(report, program, name, wrong):
    """Runs the checks of every TURN server. `wrong`: the expected reason for a wrong password."""
    for transport in ("udp", "tcp"):
        report.run(f"{name}, Binding over {transport}", lambda t=transport: _expect(
            ask(program, f"--{t}", f"{ADDRESS}:{PORT}"), status="ok", transport=t))
        report.run(f"{name}, relay over {transport}", lambda t=transport: relay(program, t))
        report.run(f"{name}, a wrong password over {transport}", lambda t=transport: refusal(program, t, wrong))
    report.run(f"{name}, ping", lambda: _expect(
        ask(program, "ping", "--count", "20", "--interval", "0.005", f"{ADDRESS}:{PORT}"), status="ok"))
    report.run(f"{name}, what it lets through", lambda: security(program))


# The cases.

def relay(program, transport):
    """Runs all relay steps, and a series of 50 packets."""
    found = ask(program, "--count", "50", "--interval", "0.002", f"turn:{ADDRESS}:{PORT}?transport={transport}")
    steps = [step["name"] for step in found["steps"] if step["ok"]]
    expected = (["connect"] if transport == "tcp" else []) + STEPS
    if found["status"] != "ok" or steps != expected or found["series"]["received"] != 50:
        raise Failure(json.dumps(found))
    return {"total_ms": found["total_ms"], "rtt_ms": found["series"]["rtt_ms"]}


def refusal(program, transport, reason):
    """Checks the reason, and the password as the likely cause, for any error code of the server."""
    found = ask(program, f"turn:{ADDRESS}:{PORT}?transport={transport}", environment={"STUNCLIENT_PASSWORD": "guess"})
    failure = found["failure"] or {}
    if failure.get("reason") != reason or not failure.get("likely_cause", "").startswith("wrong username or password"):
        raise Failure(json.dumps(found))
    return failure


def security(program):
    """The server allows private peers by default; every check has a verdict."""
    found = ask(program, "security", f"turn:{ADDRESS}:{PORT}")
    verdicts = {finding["subject"]: finding["verdict"] for finding in found["findings"]}
    figures = {key: found[key] for key in ("refused", "let_through", "unknown", "not_applicable")}
    wanted = {"10.0.0.1 (private network)": "let-through", "Allocate with another password": "refused",
              "Allocate without credentials": "refused"}
    if figures["unknown"] or (found["failure"] or {}).get("reason") != "let-through" or any(
            verdicts.get(subject) != verdict for subject, verdict in wanted.items()):
        raise Failure(json.dumps(found))
    return figures


# Helpers.

def ask(program, *arguments, environment=None):
    """Runs a check and returns its JSON document."""
    result = subprocess.run([program, *arguments, "--json"], capture_output=True, text=True, check=False, timeout=60,
                            env={**os.environ, **ALICE, **(environment or {})})
    try:
        return json.loads(result.stdout)
    except ValueError as error:
        raise Failure(f"{arguments}: {result.stdout}{result.stderr}") from error


def _expect(found, **expected):
    wrong = {key: found.get(key) for key, value in expected.items() if found.get(key) != value}
    if wrong:
        raise Failure(f"{wrong} and not {expected}; {json.dumps(found)}")
    return {key: found[key] for key in expected}


@contextlib.contextmanager
def _server(command, directory, ready="ready"):
    """Runs a server during the block, after it has reported that it is ready."""
    program = os.path.basename(command[0])
    output = os.path.join(directory, program + ".txt")
    # Some servers buffer their output when it goes to a file.
    command = ["stdbuf", "-oL", *command]
    with open(output, "wb") as file:
        process = processes.start(command, output, stdout=file, stdin=subprocess.DEVNULL, cwd=directory)
    try:
        if not processes.wait_for_line(output, ready, process, 20):
            raise RuntimeError(f"{program} did not get ready: {processes.tail(output)}")
        yield
    finally:
        processes.stop(process)


def _program(arguments):
    for path in ([arguments.stunclient] if arguments.stunclient else [
            os.environ.get("STUNCLIENT_PROGRAM", ""), os.path.join(REPOSITORY, ".build", "release", "stunclient"),
            os.path.join(REPOSITORY, ".build", "debug", "stunclient")]):
        if path and os.access(path, os.X_OK):
            return os.path.abspath(path)
    return None


if __name__ == "__main__":
    sys.exit(main())
