#!/bin/sh
# SPDX-License-Identifier: MIT
# The manual pages are read by man without a warning, and name what there is: every command of xen-tmemctl, every parameter and
# every file of the module. $1: folder of the pages, $2: xen-tmemctl, $3: folder of the module
command -v man >/dev/null || { echo "man is not installed"; exit 77; }
status=0
for page in "$1"/*.[1-8]; do
  warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
  [ -z "$warnings" ] || { echo "$page: $warnings"; status=1; }
done
# $1: page, the rest: words that must stand in it
names() {
  page=$1
  shift
  [ $# -gt 0 ] || { echo "nothing to look for in $page"; status=1; }
  for word in "$@"; do
    sed 's/\\-/-/g; s/\\f[A-Z]//g' "$page" | grep -qw -- "$word" || { echo "$page does not name $word"; status=1; }
  done
}
# shellcheck disable=SC2046
names "$1/xen-tmemctl.1" $("$2" --help | sed -n '/^Subcommands:/,/^Examples:/s/^  \([a-z-]*\) .*/\1/p')
# shellcheck disable=SC2046
names "$1/tmem.4" $(sed -n 's/^module_param_named(\([a-z_]*\),.*/\1/p' "$3"/*.c) \
  $(sed -n 's/^TMEM_DISK_COUNTER(\([a-z_]*\),.*/\1/p; s/^static DEVICE_ATTR_[A-Z]*(\([a-z_]*\));/\1/p; s/^static CLASS_ATTR_[A-Z]*(\([a-z_]*\));/\1/p' "$3"/*.c)
exit $status
