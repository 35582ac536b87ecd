#!/usr/bin/python3
"""The commands, options and links of the documents work.

Blocks marked `sh run` of README.md and docs/*.md are run, page by page, on a host called turn.example.org with a running
server (`sh run warns`: the last status may be 1); if a `text` block follows, its lines must be in the output, whatever
their numbers are. Commands of our programs in other blocks must have options that exist. Links must lead to an existing
file and heading. The functions of docs/recipes.md make credentials that the server accepts. Exit status: the number of
failed cases.
"""

import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import isolation
import server
from certificates import Authority
from report import Failure, Report

NAME = "turn.example.org"
ADDRESS = "203.0.113.5"
SECRET = "north"
USER = ("alice", "secret")
PROGRAMS = ("turnpike", "stunclient", "turnload")
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The name of one of our programs where a command begins: after sudo, assignments, another command, or in a container.
COMMAND = re.compile(r"(?:^|&& |\| |; |\$\(|sudo |exec turnpike )(?:[A-Z_]+=\S+ +)*(?:\.build/release/)?(turnpike|stunclient|turnload)((?: +[^|;&)]*)?)")


def main():
    """Runs the suite."""
    arguments = server.arguments(__doc__)
    report = Report("documents")
    isolated = isolation.enter(required=True)  # begins the script again
    report.run("links lead to files and headings", links)
    program = server.program(arguments)
    if arguments.server == "coturn" or program is None or not all(server.built(name, beside(program, name)) for name in PROGRAMS):
        report.skip("commands", "the programs are not built, or not the ones that the documents are about")
        return report.finish()
    help_texts = {}
    report.run("options of commands exist", lambda: options(program, help_texts))
    if not isolated:
        report.skip("blocks that are run", "there are no namespaces: run as root")
        return report.finish()
    with tempfile.TemporaryDirectory(prefix="turnpike-documents-") as folder:
        pretend(folder)
        authority = Authority(folder, [NAME])
        settings = {"auth.secrets": SECRET, "admin.listen": "127.0.0.1:8478", "state-directory": os.path.join(folder, "state")}
        choices = server.Options(hosts=[ADDRESS], users=dict([USER]), certificate=authority, settings=settings)
        with server.Server(arguments, choices):
            environment = {
                "PATH": f"{os.path.dirname(program)}:{os.environ['PATH']}", "HOME": folder, "TOP": server.REPOSITORY,
                "SSL_CERT_FILE": authority.root, "CERTIFICATE": authority.chain, "KEY": authority.key,
                "TURNPIKE_STATE_DIRECTORY": os.path.join(folder, "state"), "XDG_STATE_HOME": folder,
            }
            for page in pages():
                blocks = run_blocks(page)
                if blocks:
                    report.run(short(page), lambda page=page, blocks=blocks: run(blocks, environment))
            for language, command in (("Node", ["node", "-e"]), ("Python", [sys.executable, "-c"])):
                if shutil.which(command[0]):
                    report.run(f"recipe: {language}", lambda language=language, command=command: recipe(language, command, environment))
                else:
                    report.skip(f"recipe: {language}", f"{command[0]} is not installed")
    return report.finish()


def beside(program, name):
    """The program that is in the same folder."""
    return os.path.join(os.path.dirname(program), name)


def pages():
    """README.md and the documents."""
    return [os.path.join(server.REPOSITORY, "README.md"), *sorted(glob.glob(os.path.join(server.REPOSITORY, "docs", "*.md")))]


def short(page):
    """The page's path in the repository."""
    return os.path.relpath(page, server.REPOSITORY)


def text_of(page):
    """The content of a page."""
    with open(page, encoding="utf-8") as file:
        return file.read()


def pretend(folder):
    """An interface with the address, the name in /etc/hosts, and no name server: all in namespaces of our own."""
    for command in ("link add net0 type veth peer name net1", "link set net0 up", "link set net1 up",
                    f"address add {ADDRESS}/24 dev net0", "route add default via 203.0.113.1"):
        subprocess.run(["ip", *command.split()], check=True)
    for path, text in (("/etc/hosts", f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n"), ("/etc/resolv.conf", "nameserver 127.0.0.1\n")):
        file = os.path.join(folder, os.path.basename(path))
        with open(file, "w", encoding="ascii") as output:
            output.write(text)
        subprocess.run(["mount", "--bind", file, os.path.realpath(path)], check=True)


def run_blocks(page):
    """The blocks that are run, each with the output that follows it, or None."""
    fences = FENCE.findall(text_of(page))
    following = fences[1:] + [("", "")]
    return [("{\n" + code + "} || [ $? = 1 ]\n" if mark.endswith(" warns") else code, next_text if kind == "text" else None)
            for (mark, code), (kind, next_text) in zip(fences, following) if mark in ("sh run", "sh run warns")]


def run(blocks, environment):
    """Runs the blocks of a page in one shell, and looks for their outputs."""
    script = 'set -euo pipefail\nsudo() { "$@"; }\n' + "".join(f"echo '%% {number}'\n{code}" for number, (code, _) in enumerate(blocks))
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
                              check=False, cwd=folder, env=environment)
    if done.returncode:
        raise Failure(f"status {done.returncode}:\n{done.stdout[-1500:]}")
    outputs = re.split(r"^%% \d+\n", done.stdout, flags=re.MULTILINE)[1:]
    missing = []
    for (_, expected), said in zip(blocks, outputs):
        lines = {alike(line) for line in said.splitlines()}
        missing += [line for line in (expected or "").splitlines() if line.strip() not in ("", "...") and alike(line) not in lines]
    if missing:
        raise Failure("not in the output: " + "\n".join(missing) + f"\nthe output:\n{done.stdout[-3000:]}")
    return {"blocks": len(blocks)}


def alike(line):
    """The line without its numbers and the width of its gaps."""
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.:TZ-]*", "#", line)).strip()


def options(program, help_texts):
    """Every option of our programs in a block of a shell is in the help of its command."""
    wrong, count = [], 0
    for page in pages():
        for mark, code in FENCE.findall(text_of(page)):
            if mark.split(" ")[0] != "sh":
                continue
            for line in code.replace("\\\n", " ").splitlines():
                for name, rest in COMMAND.findall(line):
                    count += 1
                    wrong += [f"{short(page)}: {name}{rest}: {problem}" for problem in problems(program, name, rest, help_texts)]
    if wrong:
        raise Failure("\n".join(wrong))
    return {"commands": count}


def problems(program, name, rest, help_texts):
    """What is wrong with one command."""
    rest = re.sub(r"\s#.*", "", rest)
    words = shlex.split(rest) if rest.count("'") % 2 == 0 and rest.count('"') % 2 == 0 else rest.split()
    command = next((word for word in words if re.fullmatch(r"[a-z]+", word)), "")
    key = (name, command)
    if key not in help_texts:
        texts = [subprocess.run([beside(program, name), *form], capture_output=True, text=True, check=False)
                 for form in (["--help"], ["help", command], *(["help", word] for word in ("binding", "relay") if not command))]
        help_texts[key] = "\n".join(done.stdout for done in texts if done.returncode == 0)
    for word in words:
        option = word.split("=")[0]
        if option.startswith("--") and len(option) > 2 and not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_texts[key]):
            yield f"there is no {option}"


def links():
    """Every relative link of a page leads to a file, and to a heading that is there."""
    wrong, count = [], 0
    for page in [*pages(), *(os.path.join(server.REPOSITORY, name) for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"))]:
        text = FENCE.sub("", text_of(page))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            count += 1
            path, _, anchor = target.partition("#")
            file = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            if not os.path.exists(file):
                wrong.append(f"{short(page)}: {target}: no such file")
            elif anchor and file.endswith(".md") and anchor not in anchors(file):
                wrong.append(f"{short(page)}: {target}: no such heading")
    if wrong:
        raise Failure("\n".join(wrong))
    return {"links": count}


def anchors(file):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text_of(file)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings}


def recipe(language, command, environment):
    """The function of the recipe makes a credential with which a relay opens."""
    page = text_of(os.path.join(server.REPOSITORY, "docs", "recipes.md"))
    section = page.split(f"## A web application: {language}\n")[1].split("\n## ")[0]
    code = FENCE.search(section).group(2)
    call = {"Node": f"console.log(JSON.stringify(iceServers('42', '{SECRET}')))",
            "Python": f"import json\nprint(json.dumps(ice_servers('42', '{SECRET}')))"}[language]
    done = subprocess.run([*command, f"{code}\n{call}"], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise Failure(done.stderr)
    entry = next(value for value in json.loads(done.stdout) if "credential" in value)
    if not all(NAME in url for url in entry["urls"]):
        raise Failure(f"the URLs are {entry['urls']}")
    for url in entry["urls"]:
        relayed = subprocess.run(
            ["stunclient", "--check", url], capture_output=True, text=True, timeout=60, check=False,
            env={**environment, "STUNCLIENT_USERNAME": entry["username"], "STUNCLIENT_PASSWORD": entry["credential"]})
        if relayed.returncode:
            raise Failure(f"{url}: {relayed.stdout}{relayed.stderr}")
    return {"urls": len(entry["urls"])}


if __name__ == "__main__":
    sys.exit(main())
