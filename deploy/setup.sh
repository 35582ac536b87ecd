# shellcheck shell=bash disable=SC2034
# Functions of run.sh and test.sh: they install system packages and find the Swift toolchain. For `source`.

# For the build: the C libraries below Turnpike's system modules.
build_packages=(libssl-dev libsqlite3-dev libyaml-dev libjansson-dev libunistring-dev libidn-dev libpcap-dev libc-ares-dev libseccomp-dev libwebsockets-dev libcurl4-openssl-dev zlib1g-dev pkg-config)
# For the tests with clients of other projects. want_packages skips a package that the distribution does not have.
test_packages=(coturn haproxy fail2ban prometheus stun-client stun-server erlang-p1-stun gir1.2-nice-0.1 python3-gi python3-pip openssl ethtool
  iproute2 nftables libnss3-tools fish zsh man-db python3 python3-websocket golang-go golang-github-pion-turn.v2-dev golang-github-pion-dtls.v2-dev)
browser_packages=(chromium firefox-esr zbar-tools)
container_packages=(podman buildah crun debootstrap docker-compose)

swift_version=6.3

say() { printf '%s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    say "Neither root nor sudo: cannot run $*"
    return 1
  fi
}

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" </dev/null >&2; }

# Prints those of the named packages that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
  done
}

refreshed=
refresh_packages() {
  [ -n "$refreshed" ] || apt_get update || say "apt-get update failed; using the existing package lists"
  refreshed=yes
}

# Installs the packages that the build needs.
need_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    say "This is not Debian or Ubuntu: please install the equivalents of ${missing[*]}"
    return 0
  fi
  say "Installing ${missing[*]}"
  refresh_packages
  apt_get install --no-install-recommends "${missing[@]}"
}

# Installs the packages that are available, and warns about each of the others.
want_packages() {
  local missing package
  command -v apt-get >/dev/null || return 0
  mapfile -t missing < <(missing_packages "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  refresh_packages
  for package in "${missing[@]}"; do
    say "Installing $package"
    apt_get install --no-install-recommends "$package" ||
      say "********** $package can't be installed here: the tests that need it will be SKIPPED **********"
  done
}

# Puts a Swift toolchain that is new enough on the PATH.
need_swift() {
  local directory found=""
  for directory in "" /opt/swift/usr/bin /usr/share/swift/usr/bin "${HOME:-/root}/.local/share/swiftly/bin"; do
    if [ -z "$directory" ] || [ -x "$directory/swift" ]; then
      found=$(PATH="${directory:+$directory:}$PATH" swift --version 2>/dev/null |
        sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1) || found=""
      if [ -n "$found" ] && [ "$(printf '%s\n' "$swift_version" "$found" | sort -V | head -n 1)" = "$swift_version" ]; then
        PATH="${directory:+$directory:}$PATH"
        export PATH
        return 0
      fi
    fi
  done
  say "Turnpike needs a Swift toolchain, $swift_version or newer${found:+ (found $found)}: https://www.swift.org/install/linux/"
  return 1
}
