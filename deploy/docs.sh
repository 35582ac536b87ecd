#!/usr/bin/env bash
# Makes the documentation of the library products in .build/documentation, and fails if a link names no symbol:
#
#   deploy/docs.sh
#
# The script needs the modules of `swift build` in .build/debug. It makes one folder for each product; `docc preview` and
# any web server show it.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=deploy/setup.sh
. "$top/deploy/setup.sh"

need_swift
cd "$top"
maps=()
for map in Sources/C*/module.modulemap; do maps+=(-Xcc "-fmodule-map-file=$map"); done
for module in STUN TURN TURNClient; do
  graphs=.build/documentation/graphs/$module
  rm -rf "$graphs"
  mkdir -p "$graphs"
  swift symbolgraph-extract -module-name "$module" -I .build/debug/Modules -target "$(uname -m)-unknown-linux-gnu" \
    -output-dir "$graphs" -minimum-access-level public "${maps[@]}"
  found=$(docc convert "Sources/$module/$module.docc" --additional-symbol-graph-dir "$graphs" \
    --fallback-display-name "$module" --fallback-bundle-identifier "turnpike.$module" \
    --output-dir ".build/documentation/$module" 2>&1) || { say "$found"; exit 1; }
  if grep -E "^warning: .*(doesn't exist at|[Nn]o symbol|ambiguous|resolve)" <<<"$found" >&2; then
    say "$module: the links above name no symbol"
    exit 1
  fi
  say "$module: .build/documentation/$module"
done
