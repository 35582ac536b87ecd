#!/usr/bin/env bash
# Sets up and runs every test on a fresh Debian or Ubuntu with a Swift toolchain:
#
#   deploy/test.sh [--no-browsers] [--container]
#
# First the package's own tests, then other people's clients (Tests/Interop) against the release build: coturn's tools,
# aioice, aiortc and libnice, pion's client, and stunclient against other people's servers, calls of Chromium and
# Firefox, calls through NATs, stunclient's verdicts on NATs, what the heap is asked for, and what deploy/install.sh
# installs; with --container also the image, which podman builds and runs. The last line has the totals of the second
# part; the exit status is 0 only if both parts passed.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/setup.sh
. "$top/deploy/setup.sh"

other_peoples=(uclient discovery ip_fields ice_clients pion path_mtu heap nat_verdicts other_servers install)
suites=("${other_peoples[@]}" browser_call nat_call)
for option in "$@"; do
  case $option in
    --no-browsers) suites=("${other_peoples[@]}") browser_packages=() ;;
    --container) with_container=yes ;;
    *) say "usage: deploy/test.sh [--no-browsers] [--container]"; exit 64 ;;
  esac
done
if [ -n "${with_container:-}" ]; then
  suites+=(container)
  test_packages+=("${container_packages[@]}")
fi

need_packages "${build_packages[@]}"
# Debian's packages would start servers on our ports: those that come now are switched off again, others left alone.
declare -A unit_of=([coturn]=coturn [stun-server]=stun)
new_servers=()
if command -v dpkg-query >/dev/null && command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
  for package in $(missing_packages coturn stun-server); do
    systemctl cat "${unit_of[$package]}" >/dev/null 2>&1 || new_servers+=("$package")
  done
fi
want_packages "${test_packages[@]}"
for package in "${new_servers[@]}"; do
  if [ -z "$(missing_packages "$package")" ]; then as_root systemctl disable --now "${unit_of[$package]}" >&2 || true; fi
done
want_packages "${browser_packages[@]}"
need_swift

started=$SECONDS
cd "$top"
swift build --build-tests
swift test --skip-build
swift build -c release
say "Built and tested in $((SECONDS - started)) s; now other people's clients"

passed=0 failed=0 skipped=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for suite in "${suites[@]}"; do
  # By Debian's own Python, which has python3-websocket, whatever else stands first on the PATH.
  status=0
  TURNPIKE_PROGRAM=.build/release/turnpike /usr/bin/python3 "Tests/Interop/$suite.py" </dev/null | tee "$output" || status=$?
  totals=$(sed -n "s/^$suite: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped\$/\1 \2 \3/p" "$output" | tail -n 1)
  if [ -z "$totals" ]; then
    say "$suite ended with status $status before it had counted"
    totals="0 1 0"
  fi
  read -r p f s <<<"$totals"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
[ "$skipped" -eq 0 ] || say "********** $skipped skipped: see SKIP above **********"
say "All in $((SECONDS - started)) s"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]  # where nothing could be tested nothing passed
