#!/usr/bin/env bash
# Sets up and runs every test on a fresh Debian or Ubuntu with a Swift toolchain:
#
#   deploy/test.sh [--no-browsers] [--container]
#
# The script checks the layout of the Swift files (swift format lint) and runs the package's own tests. Then it runs
# clients of other projects (Tests/Interop) against the release build: coturn's tools, aioice, aiortc and libnice, pion's
# client, and stunclient against servers of other projects, calls of Chromium and Firefox, calls through NATs, stunclient's
# verdicts on NATs, heap allocations, and the files of deploy/install.sh; with --container also the image, which podman
# builds and runs. The last line has the totals of the last part; the exit status is 0 only if every part passed.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/setup.sh
. "$top/deploy/setup.sh"

# Suites that measure, count or build run alone. Suites that mostly wait for time limits of clients and servers run at the
# same time as the browsers.
suites=(examples uclient coturn_files upgrade reload systemd proxy client_certificates fail2ban discovery ip_fields
  ice_clients pion path_mtu heap other_servers install monitoring delivery documents)
waiting_suites=(public_address nat_verdicts)
browser_suites=(browser_call nat_call dashboard demo demo_nat demo_lan)
for option in "$@"; do
  case $option in
    --no-browsers) browser_suites=() browser_packages=() ;;
    --container) with_container=yes ;;
    *) say "usage: deploy/test.sh [--no-browsers] [--container]"; exit 64 ;;
  esac
done
if [ -n "${with_container:-}" ]; then
  suites+=(container)
  test_packages+=("${container_packages[@]}")
fi

need_packages "${build_packages[@]}"
# Debian's packages start servers on our ports: the script stops those that it has just installed, and no others.
declare -A unit_of=([coturn]=coturn [haproxy]=haproxy [stun-server]=stun [fail2ban]=fail2ban)
new_servers=()
if command -v dpkg-query >/dev/null && command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
  for package in $(missing_packages "${!unit_of[@]}"); do
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
outputs=$(mktemp -d)
# With `set -e` a command that fails in this trap would become the exit status of a run that passed.
trap 'kill "${lane:-}" 2>/dev/null || true; rm -rf "$outputs"' EXIT
swift_sources=(Sources Tests Package.swift)
[ ! -d Examples ] || swift_sources+=(Examples)
if ! swift format lint --strict --parallel --recursive "${swift_sources[@]}"; then
  say "********** Swift files do not have the format of .swift-format: see the lines above **********"
  say "To format one: swift format --in-place FILE"
  exit 1
fi
if ! /usr/bin/python3 Tests/Faults/faults.py --check; then
  say "********** Rows of Tests/Faults/table.py do not fit the sources: see STALE above **********"
  exit 1
fi
swift build --build-tests
# The time limit makes a test that hangs a failure. The names of failed tests are printed again at the end, because a run
# prints thousands of lines.
timeout -k 10 1500 swift test --skip-build 2>&1 | tee "$outputs/swift-test" || {
  grep -a '✘' "$outputs/swift-test" | tail -n 40 >&2 || true
  say "********** swift test failed: see the lines with ✘ above **********"
  exit 1
}
swift build -c release
say "Built and tested in $((SECONDS - started)) s; next: clients of other projects"

# Each suite writes to its own file, so that suites that run at the same time do not mix their lines.
run_suites() {
  local suite status began
  for suite in "$@"; do
    status=0 began=$SECONDS
    # Debian's Python has python3-websocket; another Python may be first on the PATH.
    TURNPIKE_PROGRAM=.build/release/turnpike timeout -k 10 900 /usr/bin/python3 "Tests/Interop/$suite.py" </dev/null \
      >"$outputs/$suite" 2>&1 || status=$?
    echo "$suite: status $status after $((SECONDS - began)) s" >>"$outputs/$suite"
    flock "$outputs/lock" cat "$outputs/$suite"
  done
}

run_suites "${suites[@]}"
# Without namespaces the suites would want the same ports.
if unshare --net true 2>/dev/null || unshare --net --map-root-user true 2>/dev/null; then
  run_suites "${waiting_suites[@]}" &
  lane=$!
  run_suites "${browser_suites[@]}"
  wait "$lane"
else
  run_suites "${waiting_suites[@]}" "${browser_suites[@]}"
fi

passed=0 failed=0 skipped=0
for suite in "${suites[@]}" "${waiting_suites[@]}" "${browser_suites[@]}"; do
  totals=$(sed -n "s/^$suite: \([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped\$/\1 \2 \3/p" "$outputs/$suite" |
    tail -n 1)
  if [ -z "$totals" ]; then
    say "$suite ended before it printed its totals: $(tail -n 1 "$outputs/$suite")"
    totals="0 1 0"
  fi
  read -r p f s <<<"$totals"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
grep -h '^FAIL' "$outputs"/* >&2 || true
[ "$skipped" -eq 0 ] || say "********** $skipped skipped: see SKIP above **********"
say "All in $((SECONDS - started)) s"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]  # a run that tested nothing has failed
