# SPDX-License-Identifier: MIT
"""zswap beside tmem, on and off and on while pages are in both: every word right, and all come back; a 5.10 kernel with zswap."""

from lib import hooks, kernels, tmem

SWITCH = "/sys/module/zswap/parameters/enabled"
STORED = "/sys/kernel/debug/zswap/stored_pages"


def in_zswap(guest):
    return int(guest.run(f"cat {STORED}").out)


def scenario(lab):
    kernel = kernels.hooks_kernel()
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("swap", 64)])
    service = tmem.Service(lab, dom0)
    guest = hooks.guest(lab, kernel=kernel, module=kernels.module(kernel, lab.out), memory=56,
                        config=["tmem=1", f'disk=["phy:{dom0.disk("swap")},xvda,w"]']).create()
    guest.run(f"mount -t debugfs debugfs /sys/kernel/debug; echo 1 >{SWITCH}")
    hooks.swap_on_disk(guest)
    job = guest.start("exec pressure 48 1000000 7")
    dom0.poll(lambda: in_zswap(guest) > 1000, 900, "1000 pages in zswap before the module comes")

    hooks.load(guest)
    dom0.poll(lambda: hooks.count(guest, "frontswap_loaded") > 1000, 900, "pages that come from tmem, with zswap on")
    service.ctl("freeze g1")
    refused, zswapped = hooks.count(guest, "frontswap_store_refused"), in_zswap(guest)
    dom0.poll(lambda: in_zswap(guest) > zswapped + 200, 900, "pages that tmem refuses in zswap")
    lab.expect(hooks.count(guest, "frontswap_store_refused") > refused, "tmem refused nothing while it was frozen")
    service.ctl("thaw g1")
    guest.run(f"echo 0 >{SWITCH}")
    more = hooks.count(guest, "frontswap_loaded") + 1000
    dom0.poll(lambda: hooks.count(guest, "frontswap_loaded") > more, 900, "pages that come from tmem, with zswap off")
    guest.run(f"echo 1 >{SWITCH}")

    hooks.unload(guest, timeout=900)
    dom0.poll(lambda: in_zswap(guest) > 1000, 900, "1000 pages in zswap when the module has gone")
    hooks.works_on(lab, dom0, job)
    job.kill()
    guest.run("swapoff /dev/xvda", timeout=600)
    guest.must_live()
