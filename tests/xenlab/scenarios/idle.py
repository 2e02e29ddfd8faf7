# SPDX-License-Identifier: MIT
"""A guest of 512 MB that read its disk and then idles gives up 60 % within three minutes of its time; Xen has it."""

from lib import flow

MEBIBYTES, LIMIT_SECONDS = 512, 180


def scenario(lab):
    dom0 = lab.boot(disks=[lab.Disk("data", 320)])
    guest = flow.guest(lab, memory=MEBIBYTES).create()
    device = guest.plug_disk(dom0.disk("data"))
    guest.start(f"exec 9<{device}; exec sleep 100000")  # as a mounted file system would: the last close drops the pages
    guest.run(f"dd if={device} of=/dev/null bs=1M 2>/dev/null", timeout=600)
    lab.expect(guest.memory()["Cached"] + guest.memory()["Buffers"] > 280 * 1024, "the file pages are not in memory")
    free, full, began = flow.host_free_mib(dom0), flow.current_kib(guest), flow.uptime(guest)

    daemon = flow.start(guest)
    dom0.poll(lambda: flow.host_free_mib(dom0) >= free + MEBIBYTES * 60 // 100, 600, "60 % to be given up")
    took = flow.uptime(guest) - began
    guest.run(f"echo 'gave {full - flow.current_kib(guest)} of {full} KiB in {took:.0f} s' >/dev/kmsg")
    lab.expect(took <= LIMIT_SECONDS, f"it took {took:.0f} seconds")
    lab.equal(guest.xs_read("memory/target"), str(MEBIBYTES * 1024), "the toolstack's target")
    flow.must_have_memory(lab, guest)

    daemon.kill(15)
    daemon.wait(check=False)
    dom0.poll(lambda: flow.current_kib(guest) >= full - 1024, 120, "everything to be given back when the daemon ends")
