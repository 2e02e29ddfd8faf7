# SPDX-License-Identifier: MIT
"""An idle guest gives 60 % of its memory within three minutes; its files, read again, come from tmem, not from disk (5.10 with cleancache, no PSI)."""

from lib import flow, hooks, kernels, tmem
from lib.files import Files

MEBIBYTES, LIMIT_SECONDS = 512, 180


def scenario(lab):
    kernel = kernels.hooks_kernel()
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("files", 224)])
    tmem.Service(lab, dom0)
    guest = hooks.guest(lab, kernel=kernel, module=kernels.module(kernel, lab.out), also=flow.add_daemon, memory=MEBIBYTES,
                        config=["tmem=1", f'disk=["phy:{dom0.disk("files")},xvda,w"]']).create()
    files = Files(lab, guest, count=40, mebibytes=4)    # all of them fit into its memory, not into what it keeps
    guest.run("echo 1 >/proc/sys/vm/drop_caches")
    cold = files.read("from the disk")
    lab.expect(files.read("from memory") * 10 < cold, "the files do not stay in the guest's memory")

    guest.run("echo 1 >/proc/sys/vm/drop_caches")
    hooks.load(guest)           # as at boot; what is read before it is late-cleancache's
    files.read("with the module")
    free, began = flow.host_free_mib(dom0), flow.uptime(guest)
    flow.start(guest)
    lab.equal(flow.state(guest)["psi"], "0", "pressure stall information of a kernel that has none")
    dom0.poll(lambda: flow.host_free_mib(dom0) >= free + MEBIBYTES * 60 // 100, 900, "60 % to be given up")
    took = flow.uptime(guest) - began
    lab.expect(took <= LIMIT_SECONDS, f"it took {took:.0f} seconds")
    dom0.poll(lambda: flow.settled(guest), 300, "the guest to have given what it does not need")
    warm = files.read("after idling")
    (lab.out / "figures").write_text(f"60 % of {MEBIBYTES} MB given in {took:.0f} s\n"
                                     f"{cold} sectors read from disk at first, {warm} after idling: a factor of {cold / max(warm, 1):.1f}\n{hooks.counters(guest)}")
    lab.expect(hooks.count(guest, "cleancache_get_hit") > 1000, f"not even 1000 pages came from tmem\n{hooks.counters(guest)}")
    lab.expect(warm * 2 < cold, f"{warm} sectors are read after idling, {cold} at first\n{hooks.counters(guest)}")
    flow.must_have_memory(lab, guest)
