#!/usr/bin/python3
"""Prometheus of Debian scrapes the server, with OpenMetrics, and promtool checks its metrics and deploy/monitoring: the
alert rules with their unit tests, the sample configuration, and the names of metrics in rules and dashboard.

Exit status: the number of failed cases.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request

import isolation
import processes
import server
from report import Failure, Report

FOLDER = f"{server.REPOSITORY}/deploy/monitoring"
ADMIN = "127.0.0.1:8478"
PROMETHEUS = "127.0.0.1:19090"
NAME = re.compile(r"\bturnpike_[a-z_]+")


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report = Report("monitoring")
    if arguments.server == "coturn" or not shutil.which("promtool") or not shutil.which("prometheus"):
        report.skip("everything", "prometheus is not installed, or the server is not Turnpike")
        return report.finish()
    isolation.enter(required=False)
    report.run("the rules pass their unit tests", rules)
    options = server.Options(users={"alice": "secret"}, settings={"admin.listen": ADMIN})
    with server.Server(arguments, options) as running:
        report.run("promtool checks the metrics", check_metrics)
        report.run("rules and dashboard name metrics that exist", names)
        report.run("Prometheus scrapes", lambda: scrape(running))
    return report.finish()


def promtool(*words, text=None):
    """Runs promtool; raises `Failure` with its output."""
    done = subprocess.run(["promtool", *words], input=text, capture_output=True, text=True, timeout=60, check=False, cwd=FOLDER)
    if done.returncode or (text and done.stderr.strip()):
        raise Failure(f"promtool {' '.join(words)}: {done.stdout} {done.stderr}")


def rules():
    """promtool accepts the rules, the sample configuration, and the unit tests."""
    promtool("check", "rules", "turnpike.rules.yml")
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "turnpike.tests.yml")


def metrics(accept="*/*"):
    """The text of the metrics."""
    request = urllib.request.Request(f"http://{ADMIN}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def check_metrics():
    """The format without a preference is Prometheus's text; promtool has no remark; OpenMetrics has the same samples.

    A value is compared if it is the same before and after the text of OpenMetrics was read.
    """
    before, kind = metrics()
    if not kind.startswith("text/plain; version=0.0.4"):
        raise Failure(kind)
    promtool("check", "metrics", text=before)
    opened, kind = metrics("application/openmetrics-text; version=1.0.0")
    if not kind.startswith("application/openmetrics-text; version=1.0.0") or not opened.endswith("\n# EOF\n"):
        raise Failure(f"no OpenMetrics: {kind}, {opened[-100:]!r}")
    first, other, last = samples(before), samples(opened), samples(metrics()[0])
    if first.keys() != other.keys():
        raise Failure(f"samples of one format only: {sorted(first.keys() ^ other.keys())}")
    still = {name for name in first if first[name] == last.get(name)}
    if wrong := {name: (first[name], other[name]) for name in still if first[name] != other[name]}:
        raise Failure(f"other values in OpenMetrics: {wrong}")
    if len(still) < len(first) / 2:
        raise Failure(f"only {len(still)} of {len(first)} values could be compared")
    return {"samples": len(first), "compared": len(still)}


def samples(text):
    """The samples of a text: name and labels, and the value."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            if name in found:
                raise Failure(f"two samples {name}")
            found[name] = value
    return found


def names():
    """Each metric that the rules or the dashboard name is one of the server's."""
    known = {re.split(r"[{ ]", line)[0] for line in metrics()[0].splitlines() if not line.startswith("#")}
    with open(f"{FOLDER}/grafana.json", encoding="utf-8") as file:
        dashboard = json.load(file)
    used = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            used |= set(NAME.findall(target["expr"]))
    with open(f"{FOLDER}/turnpike.rules.yml", encoding="utf-8") as file:
        used |= {name for line in file if "expr" in line or "rate(" in line for name in NAME.findall(line)}
    if missing := used - known:
        raise Failure(f"unknown metrics: {', '.join(sorted(missing))}")
    return {"names": len(used)}


def scrape(running):
    """Prometheus finds the target up, with OpenMetrics, and stores the samples; only the certificate raises an alert."""
    with open(f"{FOLDER}/prometheus.yml", encoding="utf-8") as file:
        text = file.read().replace("15s", "1s")
    configuration = os.path.join(running.directory, "prometheus.yml")
    with open(configuration, "w", encoding="utf-8") as file:
        file.write(text)
    shutil.copy(f"{FOLDER}/turnpike.rules.yml", running.directory)
    log = os.path.join(running.directory, "prometheus-log.txt")
    process = processes.start(
        ["prometheus", f"--config.file={configuration}", f"--web.listen-address={PROMETHEUS}",
         f"--storage.tsdb.path={running.directory}/tsdb"], log, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        found = wait_for("turnpike_start_time_seconds", 30)
        up = query("up{job='turnpike'}")
        if not found or up[0]["value"][1] != "1":
            raise Failure(f"up: {up}; {processes.tail(log)}")
        # Only OpenMetrics names units.
        kinds = ask("/api/v1/metadata?metric=turnpike_start_time_seconds").get("turnpike_start_time_seconds")
        if not kinds or kinds[0]["unit"] != "seconds":
            raise Failure(f"Prometheus has not read OpenMetrics: {kinds}")
        alerts = [alert["labels"]["alertname"] for alert in ask("/api/v1/alerts")["alerts"]]
        if set(alerts) - {"TurnpikeCertificateExpires"}:
            raise Failure(f"alerts on a new server: {alerts}")
        return {"series": int(query("count({job='turnpike'})")[0]["value"][1])}
    finally:
        processes.stop(process)


def wait_for(name, seconds):
    """Waits until Prometheus has a metric."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if query(name):
                return True
        except OSError:
            pass
        time.sleep(0.2)
    return False


def query(expression):
    """The result of an instant query."""
    return ask("/api/v1/query?query=" + urllib.request.quote(expression))["result"]


def ask(path):
    """A document of Prometheus."""
    with urllib.request.urlopen(f"http://{PROMETHEUS}{path}", timeout=5) as answer:
        return json.load(answer)["data"]


if __name__ == "__main__":
    sys.exit(main())
