#!/usr/bin/env bash
# Sets up and runs Turnpike on a fresh Debian or Ubuntu with a Swift toolchain:
#
#   deploy/run.sh [ARGUMENTS OF turnpike]
#
# It installs the system packages that are missing (as root or by sudo), builds the three programs, prints where they are,
# and starts the server in the foreground. Only the server writes to standard output; all messages of the script and the
# build go to standard error.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/setup.sh
. "$top/deploy/setup.sh"

need_packages "${build_packages[@]}"
need_swift
swift build --package-path "$top" -c release >&2
say "
The programs turnpike, stunclient and turnload are in $top/.build/release.
To use them by name:   export PATH=\"$top/.build/release:\$PATH\"   or install them: see README.md
While the server runs, in another terminal:
  turnpike user add alice      add a user and print its password
  turnpike help                all commands
"
exec "$top/.build/release/turnpike" "$@"
