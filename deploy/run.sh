#!/usr/bin/env bash
# Sets up and runs Turnpike on a fresh Debian or Ubuntu with a Swift toolchain:
#
#   deploy/run.sh [ARGUMENTS OF turnpike]
#
# Installs the system packages that are missing (as root or by sudo), builds the release, starts the server in the
# foreground. Everything but the server's own line of iceServers JSON goes to standard error.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/setup.sh
. "$top/deploy/setup.sh"

need_packages "${build_packages[@]}"
need_swift
swift build --package-path "$top" -c release --product turnpike >&2
exec "$top/.build/release/turnpike" "$@"
