# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The Debian packages that the project needs, and their installation: quiet when all is there, apt otherwise (as root or
# with sudo). Sourced by tools/quickstart and tools/test.
#
#   tmem_deps GROUP...   installs what is missing; status 1 and a message that says what to do, when it cannot

# build: the programs. test: what tools/test needs besides (the lab under tests/xenlab sees to its own).
declare -gA TMEM_PACKAGES=(
  [build]="g++ cmake ninja-build pkg-config git ca-certificates python3 procps
           libboost-dev protobuf-compiler libprotobuf-dev liblz4-dev libxxhash-dev
           libcli11-dev nlohmann-json3-dev libncurses-dev libxen-dev"
  [test]="clang llvm libclang-rt-14-dev libgtest-dev libgmock-dev librapidcheck-dev make libelf1 man-db sparse"
)

# The packages of the given groups that are not installed, one per line.
tmem_deps_missing() {
  local group words
  for group in "$@"; do
    [ -n "${TMEM_PACKAGES[$group]:-}" ] || { echo "deps: no group '$group'" >&2; return 2; }
    words+=" ${TMEM_PACKAGES[$group]}"
  done
  local package
  for package in $words; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

tmem_deps() {
  local missing as_root=()
  missing=$(tmem_deps_missing "$@") || return
  [ -n "$missing" ] || return 0
  missing=${missing//$'\n'/ }
  if ! command -v apt-get >/dev/null; then
    echo "deps: missing: $missing; this system has no apt-get: install what corresponds to them, then run this again" >&2
    return 1
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "deps: missing: $missing; neither root nor sudo here: run as root: apt-get install $missing" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  echo "installing with apt: $missing"
  local log apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o Dpkg::Use-Pty=0)
  log=$(mktemp) || return 1
  # shellcheck disable=SC2086
  if "${apt[@]}" update >"$log" 2>&1 </dev/null &&
    "${apt[@]}" install --no-install-recommends $missing >>"$log" 2>&1 </dev/null; then
    rm -f "$log"
    return 0
  fi
  tail -n 15 "$log" >&2
  rm -f "$log"
  echo "deps: apt-get failed (its last lines are above): mend the package sources, or install by hand: $missing" >&2
  return 1
}
