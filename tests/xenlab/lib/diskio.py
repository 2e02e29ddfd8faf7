# SPDX-License-Identifier: MIT
"""Bytes on a guest's block device, written and read past every cache, and fio with its own verification."""

import shlex

BLOCKS_PER_MIB = 16
FIO = "/usr/bin/fio"  # on this machine; /bin/fio in the guest


def write_random(guest, device, megabytes):
    """Random bytes over the first megabytes of a device; returns what read_sum() must return."""
    return guest.run(f"""dd if=/dev/urandom of=/tmp/bytes bs=64k count={megabytes * BLOCKS_PER_MIB} 2>/dev/null &&
        dd if=/tmp/bytes of={device} bs=64k oflag=direct 2>/dev/null && md5sum </tmp/bytes && rm /tmp/bytes""").out


def read_sum(guest, device, megabytes):
    """The sum of what is there; a read that fails fails the scenario."""
    return guest.run(f"set -o pipefail; dd if={device} bs=64k count={megabytes * BLOCKS_PER_MIB} iflag=direct | md5sum").out


def readable(guest, device, pages):
    """Of these pages, those that can be read at all."""
    words = " ".join(str(page) for page in pages)
    return [int(page) for page in guest.run(f"""for page in {words}; do
        dd if={device} of=/dev/null bs=4k skip=$page count=1 iflag=direct 2>/dev/null && echo $page; done; true""").lines]


def fio(guest, device, *options, timeout=1800):
    """Random writes that fio reads back and compares by checksum; any difference or error fails the scenario."""
    words = ["fio", "--name=verify", f"--filename={device}", "--direct=1", "--verify=crc32c", "--verify_fatal=1", "--group_reporting",
             "--output-format=terse", *options]
    guest.run(f"cd /tmp && {shlex.join(words)}", timeout)
