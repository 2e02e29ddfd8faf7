# SPDX-License-Identifier: MIT
"""The tmem domain has all free memory, and big guests start all the same, three ways; no page of a swapping guest is lost meanwhile."""

from lib import flow, tmem

RESERVE = 192
BIG = 512


def scenario(lab):
    dom0 = lab.boot(memory=2560, dom0_memory=1024, customize=tmem.add_programs)
    service = tmem.Domain(lab, dom0, memory=192, maxmem=1280, config=f"breathe = on\nbreathe-reserve = {RESERVE}M\nbreathe-interval = 1\n")
    guest = tmem.guest(lab, memory=128, config=["tmem=1"]).create()
    tmem.connected(guest)
    tmem.swap_on(guest)
    work = guest.start("while :; do pressure 72 1 || exit 1; [ ! -e /tmp/enough ] || exit 0; done")

    all_is_taken(dom0)
    big = lab.guest("big", memory=BIG)
    dom0.write_file(big.config_path, big.config)
    refused = dom0.xl(f"create -p {big.config_path}", check=False)
    lab.expect(refused.code != 0, f"Xen had {BIG} MiB free: the scenario shows nothing")
    starts(lab, dom0, big, lambda: service.ctl(f"--timeout 300 create {big.config_path}"), "xen-tmemctl create")

    all_is_taken(dom0)
    service.ctl(f"--timeout 300 make-room {BIG + 32}M")
    starts(lab, dom0, big, lambda: dom0.xl(f"create {big.config_path}"), "make-room and xl create")

    all_is_taken(dom0)
    dom0.write_file("/etc/xen/xl.conf", 'autoballoon="on"\n')
    starts(lab, dom0, big, lambda: dom0.xl(f"create {big.config_path}"), "an xl that waits")

    guest.run("touch /tmp/enough")
    work.wait(timeout=1800)
    for name in ("failed_reads", "failed_writes"):
        lab.equal(tmem.disk_stat(guest, name), 0, name)
    lab.equal(tmem.state_of(service, "g1"), "connected", "the guest that swapped all the while")
    guest.must_live()


def all_is_taken(dom0):
    """The tmem domain has grown into what was free: what is left is the reserve and what is not worth a step."""
    dom0.poll(lambda: flow.host_free_mib(dom0) < RESERVE + 64, 600, "the tmem domain to take what is free")


def starts(lab, dom0, big, create, how):
    create()
    lab.expect("big" in dom0.domains(), f"{how}: no guest")
    big.attach()
    big.wait_ready()
    lab.expect(big.memory()["MemTotal"] > (BIG - 80) * 1024, f"{how}: the guest has not got its memory")
    big.destroy()
    big.wait_gone()
