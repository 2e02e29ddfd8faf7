# SPDX-License-Identifier: MIT
"""The service in the tmem domain is killed ten times under swap load, then the agent, then the domain: no wrong byte, no hang."""

from lib import tmem

KILLS = 10


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    service = tmem.Domain(lab, dom0, options="shards=2")
    # A root file system that is never swapped: the commands below must work when pages are lost.
    guest = tmem.guest(lab, memory=144, vcpus=2, cmdline="rootfstype=ramfs", config=["tmem=1"]).create()
    tmem.connected(guest)
    tmem.swap_on(guest)
    kill_service(lab, dom0, service, guest)
    kill_agent(lab, dom0, service, guest)
    lose_domain(lab, dom0, service, guest)


def no_errors(lab, guest):
    for name in ("failed_reads", "failed_writes"):
        lab.equal(tmem.disk_stat(guest, name), 0, name)


def kill_service(lab, dom0, service, guest):
    """Each time after more pages were moved; the guest's work ends right and it never sees its device go."""
    work = guest.start("while :; do pressure 72 1 || exit 1; [ ! -e /tmp/enough ] || exit 0; done")
    moved = 0
    for _ in range(KILLS):
        dom0.poll(lambda: tmem.disk_stat(guest, "num_writes") > moved, 300, "the guest to swap on")
        service.kill()
        moved = tmem.disk_stat(guest, "num_writes")
    guest.run("touch /tmp/enough")
    work.wait(timeout=900)
    no_errors(lab, guest)
    lab.equal(service.json("info")["restarts"], KILLS, "restarts of the service")
    lab.equal(guest.console.count("connected to dom"), 1, "connections that the guest made")


def kill_agent(lab, dom0, service, guest):
    """Nothing happens; the next one finds everything as it is."""
    service.agent.kill()
    guest.run("pressure 72 1", timeout=900)
    no_errors(lab, guest)
    before = dom0.xs_ls(f"/local/domain/{service.domain.domid}/backend")
    service.start_agent()
    lab.equal(dom0.xs_ls(f"/local/domain/{service.domain.domid}/backend"), before, "the backend's nodes after the agent's restart")
    lab.equal(guest.console.count("connected to dom"), 1, "connections that the guest made")


def lose_domain(lab, dom0, service, guest):
    """What was only there is an error for who reads it; the kernel lives, and a new tmem domain is picked up."""
    guest.run("echo 5 >/sys/module/tmem/parameters/reconnect_s")
    work = guest.start("exec pressure 80 1000")
    mark = tmem.disk_stat(guest, "num_writes")
    dom0.poll(lambda: tmem.disk_stat(guest, "num_writes") > mark + 1000, 300, "the guest to swap on")
    service.domain.destroy()
    ended = work.wait(timeout=900, check=False)
    lab.expect(ended.code != 0 and "is not" not in ended.out, f"the guest's work ended with {ended.code}: {ended.out}")
    guest.must_live()
    service.create()
    dom0.poll(lambda: guest.console.count("connected to dom") == 2, 300, "the guest to connect to the new tmem domain")
    reads, writes = tmem.disk_stat(guest, "failed_reads"), tmem.disk_stat(guest, "failed_writes")
    guest.run("pressure 72 1", timeout=900)
    lab.equal(tmem.disk_stat(guest, "failed_reads"), reads, "reads that failed after the new domain came")
    lab.equal(tmem.disk_stat(guest, "failed_writes"), writes, "writes that failed after the new domain came")
