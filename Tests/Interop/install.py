#!/usr/bin/python3
"""Runs deploy/install.sh into a staging folder: checks the files, and that programs, manuals and completions work.

Completions are tested in each installed shell. Exit status: the number of failed cases.
"""

import argparse
import gzip
import os
import shutil
import stat
import subprocess
import sys
import tempfile

import server
from report import Failure, Report

NAMES = ("turnpike", "stunclient", "turnload")
SCRIPT = os.path.join(server.REPOSITORY, "deploy", "install.sh")
# Part: for a program, the path below PREFIX and the mode.
PARTS = {
    "programs": [("bin/{}", 0o755)],
    "manuals": [("share/man/man1/{}.1.gz", 0o644), ("share/man/man5/turnpike.yml.5.gz", 0o644)],
    "completions": [("share/bash-completion/completions/{}", 0o644), ("share/zsh/site-functions/_{}", 0o644),
                    ("share/fish/vendor_completions.d/{}.fish", 0o644)],
}


def main():
    """Runs the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="", help="folder of the built programs")
    arguments = parser.parse_args()
    report = Report("install")
    built = arguments.build or os.path.dirname(server.built("turnload") or "")
    if not built or not all(os.access(os.path.join(built, name), os.X_OK) for name in NAMES):
        report.skip("everything", "the programs are not built; NO INSTALLATION WAS TESTED")
        return report.finish()
    with tempfile.TemporaryDirectory(prefix="turnpike-interop-install-") as directory:
        suite = Suite(directory, built)
        report.run("all files are installed", suite.everything)
        report.run("a second installation changes nothing", suite.again)
        report.run("parts, and another prefix", suite.parts)
        report.run("the programs run", suite.programs)
        for tool, name, case in (("man", "the manuals can be read", suite.manuals),
                                 ("bash", "bash completes", suite.bash), ("zsh", "zsh reads its completions", suite.zsh),
                                 ("fish", "fish completes", suite.fish)):
            if shutil.which(tool):
                report.run(name, case)
            else:
                report.skip(name, f"{tool} is not installed")
        report.run("missing programs and wrong arguments are refused", suite.refusals)
    return report.finish()


class Suite:
    """The cases; the first one installs the files for the others."""

    def __init__(self, directory, built):
        self.directory = directory
        self.built = built
        self.stage = os.path.join(directory, "stage")
        self.root = self.stage + "/usr"

    def install(self, *words, stage=None, expected=0, **settings):
        """Runs the script and returns its output."""
        environment = {"PATH": os.environ["PATH"], "DESTDIR": stage or self.stage, "PREFIX": "/usr", "BUILD": self.built,
                       **settings}
        # Packages may be built with any umask.
        result = subprocess.run([SCRIPT, *words], env=environment, capture_output=True, text=True, check=False,
                                cwd="/", umask=0o027)
        if result.returncode != expected:
            raise Failure(f"status {result.returncode}: {result.stderr.strip()}")
        return result.stdout if expected == 0 else result.stderr

    def everything(self):
        """Installs programs, manuals and completions, nothing else, and each unchanged."""
        listed = self.install().splitlines()
        if sorted(listed) != sorted(_files(self.stage)):
            raise Failure(f"the script lists {listed}")
        self.compare(self.stage, "/usr", PARTS)
        with gzip.open(f"{self.root}/share/man/man1/turnload.1.gz", "rb") as file:
            if file.read() != _read(os.path.join(server.REPOSITORY, "docs/man/turnload.1")):
                raise Failure("turnload's manual differs from docs/man/turnload.1")
        return {"files": len(listed)}

    def again(self):
        """A second installation is equal byte for byte, the compressed manuals too."""
        before = {path: _read(path) for path in _files(self.stage)}
        self.install()
        if {path: _read(path) for path in _files(self.stage)} != before:
            raise Failure("the second installation differs from the first")

    def parts(self):
        """A single part is installed into its folder."""
        for part in PARTS:
            stage = os.path.join(self.directory, part)
            self.install(part, stage=stage, PREFIX="/opt/turn")
            self.compare(stage, "/opt/turn", {part: PARTS[part]})

    def compare(self, stage, prefix, parts):
        """Checks that the folder has exactly the files of these parts, with their modes."""
        expected = {f"{stage}{prefix}/{path.format(name)}": mode for places in parts.values() for path, mode in places
                    for name in NAMES}
        found = {path: stat.S_IMODE(os.stat(path).st_mode) for path in _files(stage)}
        if found != expected:
            raise Failure(f"{found} and not {expected}")
        closed = [path for path, _, _ in os.walk(stage) if path != stage and stat.S_IMODE(os.stat(path).st_mode) != 0o755]
        if closed:
            raise Failure(f"folders without mode 755: {closed}")

    def programs(self):
        """Runs the installed programs with an empty environment."""
        said = []
        for name, word in zip(NAMES, ("version", "--version", "--version")):
            result = subprocess.run([f"{self.root}/bin/{name}", word], env={}, capture_output=True, text=True,
                                    check=False)
            if result.returncode != 0 or not result.stdout.startswith(f"{name} "):
                raise Failure(f"{name}: status {result.returncode}: {result.stdout}{result.stderr}")
            said.append(result.stdout.strip())
        return {"said": said}

    def manuals(self):
        """Shows each manual with man from this folder."""
        for name in NAMES:
            text = _ask(["man", "-M", f"{self.root}/share/man", "-P", "cat", "1", name])
            if f"{name} " not in text or "SYNOPSIS" not in text:
                raise Failure(text[:400])
        text = _ask(["man", "-M", f"{self.root}/share/man", "-P", "cat", "5", "turnpike.yml"])
        if "auth.nonce-lifetime" not in text or "Default: 10m" not in text:
            raise Failure(text[:400])

    def bash(self):
        """Loads each completion as bash-completion does."""
        for name, word, expected in (("turnpike", "ch", "check"), ("stunclient", "bi", "binding"),
                                     ("turnload", "al", "allocate")):
            script = (f'source "$1/share/bash-completion/completions/{name}"; COMP_WORDS=({name} {word}); COMP_CWORD=1; '
                      f'function=$(complete -p {name} | sed "s/.*-F \\([^ ]*\\).*/\\1/"); "$function"; '
                      'printf "%s\\n" "${COMPREPLY[@]}"')
            found = _ask(["bash", "--norc", "-c", script, "bash", self.root]).split()
            if expected not in found:
                raise Failure(f"{name} {word}: {found}")
        script = ('PATH="$1/bin:$PATH"; source "$1/share/bash-completion/completions/turnpike"; compopt() { :; }; '
                  'COMP_WORDS=(turnpike --set log.l); COMP_CWORD=2; _turnpike; printf "%s\n" "${COMPREPLY[@]}"')
        found = _ask(["bash", "--norc", "-c", script, "bash", self.root]).split()
        if found != ["log.level="]:
            raise Failure(f"turnpike --set log.l: {found}")

    def zsh(self):
        """compinit assigns each file of the folder to its program."""
        script = ('fpath+=("$1/share/zsh/site-functions"); autoload -Uz compinit; compinit -D -u 2>/dev/null; '
                  'for name in turnpike stunclient turnload; do print -- "$_comps[$name]"; autoload -Uz +X "_$name" || exit 1; '
                  'done')
        found = _ask(["zsh", "-f", "-c", script, "zsh", self.root]).split()
        if found != [f"_{name}" for name in NAMES]:
            raise Failure(str(found))

    def fish(self):
        """fish finds the completions by XDG_DATA_DIRS, for programs on its path."""
        environment = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "HOME": self.directory,
                       "XDG_DATA_DIRS": f"{self.root}/share"}
        for name, word, expected in (("turnpike", "ch", "check"), ("stunclient", "bi", "binding"),
                                     ("turnload", "al", "allocate")):
            found = _ask(["fish", "-c", f"complete -C '{name} {word}'"], environment)
            if expected not in found.split():
                raise Failure(f"{name} {word}: {found}")

    def refusals(self):
        """Each refusal prints a sentence, and no file is installed."""
        stage = os.path.join(self.directory, "nothing")
        partial = os.path.join(self.directory, "partial")
        os.makedirs(partial)
        for name in NAMES[:-1]:
            shutil.copy(os.path.join(self.built, name), partial)
        cases = (((), {"BUILD": "/nonexistent"}, 1, "There is no /nonexistent/turnpike"),
                 ((), {"BUILD": partial}, 1, f"There is no {partial}/{NAMES[-1]}"),
                 (("everything",), {}, 64, "usage: "), ((), {"PREFIX": "usr"}, 64, "not an absolute path"))
        for words, settings, expected, text in cases:
            said = self.install(*words, stage=stage, expected=expected, **settings)
            if text not in said:
                raise Failure(said)
        if os.path.exists(stage):
            raise Failure(str(_files(stage)))


def _files(folder):
    return [os.path.join(path, name) for path, _, names in os.walk(folder) for name in names]


def _read(path):
    with open(path, "rb") as file:
        return file.read()


def _ask(command, environment=None):
    result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                            env=environment or dict(os.environ, TERM="dumb"), timeout=60)
    if result.returncode != 0:
        raise Failure(f"{command[0]}: status {result.returncode}: {(result.stdout + result.stderr).strip()[-400:]}")
    return result.stdout


if __name__ == "__main__":
    sys.exit(main())
