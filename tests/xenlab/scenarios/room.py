# SPDX-License-Identifier: MIT
"""The tmem domain has all free memory, and big guests start all the same, three ways; no persistent page is lost meanwhile."""

from lib import diskio, flow, tmem

DISK = "/dev/tmemswap0"
MEBIBYTES = 32          # persistent, of bytes that do not compress

RESERVE = 192
BIG = 512
PATIENCE = 600          # seconds for what waits for room, longer than it waits itself


def scenario(lab):
    dom0 = lab.boot(memory=2560, dom0_memory=1024, customize=tmem.add_programs)
    service = tmem.Domain(lab, dom0, memory=192, maxmem=1280, config=f"breathe = on\nbreathe-reserve = {RESERVE}M\nbreathe-interval = 1\n")
    guest = tmem.guest(lab, memory=192, config=["tmem=1"]).create()
    tmem.connected(guest)
    written = diskio.write_random(guest, DISK, MEBIBYTES)

    all_is_taken(dom0)
    big = lab.guest("big", memory=BIG)
    dom0.write_file(big.config_path, big.config)
    service.agent.kill(19)      # it would make room while xl builds
    refused = dom0.xl(f"create -p {big.config_path}", check=False)
    service.agent.kill(18)
    lab.expect(refused.code != 0, f"Xen had {BIG} MiB free: the scenario shows nothing")
    starts(lab, dom0, big, lambda: service.ctl(f"--timeout 300 create {big.config_path}", timeout=PATIENCE), "xen-tmemctl create")

    all_is_taken(dom0)
    service.ctl(f"--timeout 300 make-room {BIG + 32}M", timeout=PATIENCE)
    starts(lab, dom0, big, lambda: dom0.xl(f"create {big.config_path}"), "make-room and xl create")

    all_is_taken(dom0)
    dom0.write_file("/etc/xen/xl.conf", 'autoballoon="on"\n')
    starts(lab, dom0, big, lambda: dom0.xl(f"create {big.config_path}", PATIENCE), "an xl that waits")

    lab.equal(diskio.read_sum(guest, DISK, MEBIBYTES), written, "the bytes of a guest's persistent pages after all of it")
    lab.equal(tmem.state_of(service, "g1"), "connected", "the guest whose pages they are")
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
