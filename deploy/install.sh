#!/usr/bin/env bash
# Installs the built files, for users and packages:
#
#   [PREFIX=/usr/local] [DESTDIR=] [BUILD=.build/release] deploy/install.sh [programs] [manuals] [completions]
#
# Without arguments it installs all three. PREFIX is the folder on the machine that uses the files, DESTDIR precedes it
# (a package's staging folder), and BUILD is the folder in which `swift build -c release --static-swift-stdlib` put the
# programs. Without that option the programs need the toolchain's libraries. The script prints each file that it installs.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

prefix=${PREFIX:-/usr/local}
build=${BUILD:-$top/.build/release}
programs=(turnpike stunclient turnload)

say() { printf '%s\n' "$*" >&2; }

case $prefix in
  /*) ;;
  *) say "PREFIX is not an absolute path: $prefix"; exit 64 ;;
esac
for part in "$@"; do
  case $part in
    programs | manuals | completions) ;;
    *) say "usage: [PREFIX=/usr/local] [DESTDIR=] [BUILD=.build/release] deploy/install.sh [programs] [manuals] [completions]"; exit 64 ;;
  esac
done
[ $# -gt 0 ] || set -- programs manuals completions

# place MODE FILE TARGET: TARGET is below PREFIX.
place() {
  local target=${DESTDIR:-}$prefix/$3
  install -D -m "$1" "$2" "$target"
  printf '%s\n' "$target"
}

# Checks every program before it installs the first file.
if [[ " $* " == *" programs "* ]]; then
  for name in "${programs[@]}"; do
    if [ ! -x "$build/$name" ]; then
      say "There is no $build/$name: \"swift build -c release --static-swift-stdlib\" first, or say where with BUILD="
      exit 1
    fi
  done
fi

for part in "$@"; do
  if [ "$part" = manuals ]; then
    gzip -9 -n -c "$top/docs/man/turnpike.yml.5" | place 0644 /dev/stdin share/man/man5/turnpike.yml.5.gz
  fi
  for name in "${programs[@]}"; do
    case $part in
      programs)
        if library=$(ldd "$build/$name" 2>/dev/null | sed -n 's/.*libswiftCore\.so => \(.*\) (.*/\1/p') && [ -n "$library" ]; then
          say "$name needs $library after the installation, too; build with --static-swift-stdlib to avoid that"
        fi
        place 0755 "$build/$name" "bin/$name"
        ;;
      manuals)
        # Without name and time, so that two packages of one source are equal.
        gzip -9 -n -c "$top/docs/man/$name.1" | place 0644 /dev/stdin "share/man/man1/$name.1.gz"
        ;;
      completions)
        place 0644 "$top/deploy/completions/bash/$name" "share/bash-completion/completions/$name"
        place 0644 "$top/deploy/completions/zsh/_$name" "share/zsh/site-functions/_$name"
        place 0644 "$top/deploy/completions/fish/$name.fish" "share/fish/vendor_completions.d/$name.fish"
        ;;
    esac
  done
done
