#!/usr/bin/python3
"""The Helm chart and the kustomize folders give the same objects: Helm renders the chart, kubectl builds the folders,
and the objects must be equal without the labels that only Helm sets. The schema refuses misspelt values.

Helm is the library in PyPI's helm-python-sdk; deploy/check --install makes an environment that has it. Exit status: the
number of failed cases.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import server
from report import Failure, Report

KUBERNETES = os.path.join(server.REPOSITORY, "deploy", "kubernetes")
CHART = os.path.join(KUBERNETES, "chart")
SECRET = {"secrets": {"existing": "turnpike"}}
NAMES = ["turn.example.org"]
# Values with which the chart gives the objects of the folders.
BALANCER = {"mode": "load-balancer", "configuration": {"peers": {"allow": ["10.244.0.0/16"]}}}
EXTRAS = {"tls": {"certManager": {"enabled": True, "dnsNames": NAMES}}, "podMonitor": {"enabled": True}}
COMPONENTS = ["cert-manager", "pod-monitor"]


def main():
    """Runs the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turnpike", default=os.environ.get("TURNPIKE_PROGRAM", ""), help="path of the program")
    arguments = parser.parse_args()
    report = Report("chart")
    lacking = [name for name in ("helm_python", "yaml") if importlib.util.find_spec(name) is None]
    if lacking or not shutil.which("kubectl"):
        reason = f"Python has no {', '.join(lacking)}" if lacking else "kubectl is not installed"
        report.skip("everything", f"{reason}: deploy/check --install")
        return report.finish()
    report.run("lint", lint)
    report.run("one version", version)
    report.run("host-network", lambda: same("host-network", {}, []))
    report.run("load-balancer", lambda: same("load-balancer", BALANCER, []))
    report.run("host-network with certificate and monitor", lambda: same("host-network", EXTRAS, COMPONENTS))
    report.run("load-balancer with certificate and monitor", lambda: same("load-balancer", BALANCER | EXTRAS, COMPONENTS))
    report.run("mistakes are refused", mistakes)
    report.run("two releases do not share pods", releases)
    report.run("every object is valid", validated)
    program = server.built("turnpike", arguments.turnpike)
    if program:
        report.run("the server takes the configuration", lambda: configuration(program))
    else:
        report.skip("the server takes the configuration", "the server is not built")
    return report.finish()


def render(values, name="turnpike"):
    """The objects of the chart, by kind."""
    import yaml
    from helm_python.chart import Chart
    objects = {}
    for path, text in Chart.load(CHART).render(values, name=name, namespace=name).items():
        if path.endswith(".yaml"):
            for value in yaml.safe_load_all(text):
                if value:
                    objects[value["kind"]] = value
    return objects


def built(form, components):
    """The objects of a kustomize folder, by kind."""
    import yaml
    with tempfile.TemporaryDirectory(dir=KUBERNETES, prefix=".chart-test-") as folder:
        text = f"resources: [../{form}]\n"
        if components:
            text += f"components: [{', '.join('../components/' + name for name in components)}]\n"
        with open(os.path.join(folder, "kustomization.yaml"), "w", encoding="ascii") as file:
            file.write(text)
        done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(done.stderr)
    return {value["kind"]: value for value in yaml.safe_load_all(done.stdout)}


def plain(value):
    """The object without what only Helm or only kustomize adds: labels of the release, and hashes of the configuration."""
    text = json.dumps(value)
    for label in ("app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"):
        text = re.sub(rf'"{label}": "[^"]*"(, )?', "", text)
    text = re.sub(r'"annotations": {"checksum/configuration": "\w+"}(, )?', "", text)
    text = re.sub(r'"imagePullPolicy": "IfNotPresent"(, )?', "", text)  # the default for a tag
    text = text.replace(", }", "}")
    return json.loads(re.sub(r'"turnpike-[0-9a-z]{10}"', '"turnpike"', text))


def settings(text):
    """The configuration as values, with its duration in seconds."""
    import yaml
    found = yaml.safe_load(text)
    found["drain-timeout"] = {"10m": "600s"}.get(found["drain-timeout"], found["drain-timeout"])
    return found


def same(form, values, components):
    """Fails unless the chart and the folder give the same objects."""
    chart = {kind: plain(value) for kind, value in render(SECRET | values).items()}
    folder = {kind: plain(value) for kind, value in built(form, components).items() if kind != "Namespace"}
    if chart.keys() != folder.keys():
        raise Failure(f"the chart has {sorted(chart)}, the folder {sorted(folder)}")
    for objects in (chart, folder):
        objects["ConfigMap"]["data"] = settings(objects["ConfigMap"]["data"]["turnpike.yml"])
    differences = []
    for kind, value in chart.items():
        compare(value, folder[kind], kind, differences)
    if differences:
        raise Failure("\n".join(differences[:20]))
    return {"objects": len(chart)}


def compare(one, other, path, found):
    """Notes where two values differ. Lists of named members are compared by name: their order has no meaning."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            compare(one.get(key), other.get(key), f"{path}.{key}", found)
    elif isinstance(one, list) and isinstance(other, list) and all(isinstance(value, dict) for value in one + other):
        by_name = [{value.get("name") or json.dumps(value, sort_keys=True): value for value in values} for values in (one, other)]
        compare(by_name[0], by_name[1], path, found)
    elif one != other:
        found.append(f"{path}: the chart has {one!r}, the folder {other!r}")


def lint():
    """helm lint has neither warnings nor errors."""
    from helm_python import chart
    said = chart.lint(CHART, SECRET, strict=True)
    if said["errors"] or any(message["severity"] > 1 for message in said["messages"]):
        raise Failure(json.dumps(said))


def version():
    """The chart's two versions are the program's."""
    import yaml
    with open(os.path.join(server.REPOSITORY, "Sources", "CommandLine", "Version.swift"), encoding="utf-8") as file:
        program = re.search(r'version = "(.*)"', file.read()).group(1)
    with open(os.path.join(CHART, "Chart.yaml"), encoding="utf-8") as file:
        chart = yaml.safe_load(file)
    if {chart["version"], chart["appVersion"]} != {program}:
        raise Failure(f"chart {chart['version']}, {chart['appVersion']}; program {program}")


def mistakes():
    """A missing or misspelt value is an error that names it."""
    from helm_python.errors import HelmError
    wrong = [({}, "secrets.authSecret"), (SECRET | {"mode": "hostnetwork"}, "mode"), (SECRET | {"replica": 3}, "replica"),
             (SECRET | {"image": {"tags": "1"}}, "tags"), (SECRET | {"configuration": {"drain-timeout": "1h"}}, "configuration"),
             (SECRET | {"tls": {"certManager": {"enabled": True}}}, "dnsNames")]
    for values, word in wrong:
        try:
            render(values)
        except HelmError as error:
            if word not in str(error):
                raise Failure(f"{values}: the error does not name {word}: {error}") from error
        else:
            raise Failure(f"{values} is accepted")
    return {"refused": len(wrong)}


def releases():
    """Another release has other names and other pods; its values are in the objects."""
    values = {"mode": "load-balancer", "drainSeconds": 60, "relay": {"advertise": "10.0.0.5=203.0.113.5"}, "replicas": 3,
              "secrets": {"authSecret": "north", "adminToken": "token"}, "image": {"repository": "registry.test/turnpike", "tag": "1"},
              "tls": {"existingSecret": "pair"}, "tolerations": [{"key": "relay"}], "service": {"tlsPort": 5349, "annotations": {"a": "b"}}}
    objects = render(values, name="second")
    workload = objects["Deployment"]
    pod = workload["spec"]["template"]
    container = pod["spec"]["containers"][0]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    found = {
        "names": {value["metadata"]["name"] for value in objects.values()} == {"second"},
        "selector": workload["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == "second",
        "service": objects["Service"]["spec"]["selector"] == workload["spec"]["selector"]["matchLabels"],
        "labels": workload["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items(),
        "grace": pod["spec"]["terminationGracePeriodSeconds"] == 120,
        "advertise": environment["TURNPIKE_RELAY_ADVERTISE"] == "10.0.0.5=203.0.113.5",
        "image": container["image"] == "registry.test/turnpike:1", "replicas": workload["spec"]["replicas"] == 3,
        "certificate": {"secretName": "pair", "defaultMode": 288} in [v.get("secret") for v in pod["spec"]["volumes"]],
        "secret": objects["Secret"]["stringData"] == {"auth-secret": "north", "admin-token": "token"},
        "tolerations": pod["spec"]["tolerations"] == [{"key": "relay"}],
        "port": objects["Service"]["spec"]["ports"][1]["port"] == 5349 and objects["Service"]["metadata"]["annotations"] == {"a": "b"},
    }
    if wrong := [name for name, right in found.items() if not right]:
        raise Failure(f"wrong: {', '.join(wrong)}")
    return {"values": len(found)}


def validated():
    """kubernetes-validate accepts every object except those of operators."""
    if importlib.util.find_spec("kubernetes_validate") is None:
        raise Failure("Python has no kubernetes_validate: deploy/check --install")
    import kubernetes_validate
    count = 0
    for values in ({}, BALANCER):
        for kind, value in render(SECRET | EXTRAS | values).items():
            if kind in ("Certificate", "PodMonitor"):
                continue
            try:
                kubernetes_validate.validate(value, "1.31", strict=True)
            except Exception as error:
                raise Failure(f"{kind}: {error}") from error
            count += 1
    return {"objects": count}


def configuration(program):
    """turnpike check finds no mistake in the ConfigMap."""
    for values in ({}, BALANCER):
        text = render(SECRET | values)["ConfigMap"]["data"]["turnpike.yml"]
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "turnpike.yml")
            with open(file, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
                output.write(text)
            environment = {"PATH": os.environ["PATH"], "TURNPIKE_AUTH_SECRETS": "for-a-test-only", "TURNPIKE_STATE_DIRECTORY": folder,
                           "TURNPIKE_RELAY_ADDRESSES": "127.0.0.1", "TURNPIKE_ADMIN_LISTEN": "127.0.0.1:8478"}
            done = subprocess.run([program, "check", "--config", file], capture_output=True, text=True, env=environment, check=False)
            if done.returncode or "error" in done.stderr:
                raise Failure(done.stderr)


if __name__ == "__main__":
    sys.exit(main())
