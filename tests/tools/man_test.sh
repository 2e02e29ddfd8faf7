#!/bin/sh
# SPDX-License-Identifier: MIT
# The manual pages of the tools are read by man without a warning, and name every command of the program.
# $1: folder of the pages, $2: xen-tmemctl
command -v man >/dev/null || { echo "man is not installed"; exit 77; }
status=0
for page in "$1"/*.1; do
  warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
  [ -z "$warnings" ] || { echo "$page: $warnings"; status=1; }
done
for command in $("$2" --help | sed -n '/^Subcommands:/,/^Examples:/s/^  \([a-z-]*\) .*/\1/p'); do
  sed 's/\\-/-/g' "$1/xen-tmemctl.1" | grep -q -- "$command" || { echo "xen-tmemctl.1 does not name $command"; status=1; }
done
exit $status
