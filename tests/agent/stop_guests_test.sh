#!/bin/sh
# SPDX-License-Identifier: MIT
# When the host goes down nobody waits for a guest that has shut down and is still listed, and one that runs is waited for.
# $1: stop-guests
directory=$(mktemp -d) || exit 1
trap 'rm -rf "$directory"' EXIT
cat >"$directory/xl" <<'END'
#!/bin/sh
case $1 in
list)
	echo "Name                                        ID   Mem VCPUs	State	Time(s)"
	case $2 in
	5) echo "web d 1                                      5   512     1     ---s--      12.3" ;;
	6) echo "db-rbps                                      6   512     1     -b----       2.0" ;;
	7) echo "(null)                                       7     0     0     --p--d       1.0" ;;
	8) exit 1 ;;
	esac ;;
domname) echo guest ;;
esac
END
printf '#!/bin/sh\necho 1\n' >"$directory/xenstore-read"
printf '#!/bin/sh\necho $GUESTS\n' >"$directory/xenstore-list"
printf '#!/bin/sh\necho slept >&2\n' >"$directory/sleep"
chmod +x "$directory"/*
status=0
# $1: guests, $2: what is said of them on standard error
says() {
	said=$(GUESTS=$1 PATH=$directory:$PATH "$script" 2 2>&1 >/dev/null)
	[ "$said" = "$2" ] || {
		echo "guests $1: $said"
		status=1
	}
}
script=$1
says "5 7 8" ""
says "6" "slept
slept
domain 6 does not shut down; its pages in tmem are lost with this host"
exit $status
