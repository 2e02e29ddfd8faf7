# SPDX-License-Identifier: MIT
"""xl save and restore: a guest's pages wait for it in tmem; a second or an older image of it gets errors, never other bytes."""

from lib import diskio, tmem

DISK = "/dev/tmemswap1"
MEGABYTES = 8
SOME_PAGES = [0, 1, 77, 1024, 2047]


def scenario(lab):
    dom0 = lab.boot(dom0_memory=1280, customize=tmem.add_programs)
    service = tmem.Service(lab, dom0)
    guest = tmem.guest(lab, memory=112, load=False, config=["tmem=1"]).create()
    load(guest)
    swapped_work_goes_on(lab, service, guest)
    written = diskio.write_random(guest, DISK, MEGABYTES)
    image = an_image_restored_twice(lab, service, guest, written)
    dom0.run(f"rm {image}")
    image = an_image_older_than_the_guest(lab, dom0, guest)
    dom0.run(f"rm {image}")
    forgotten(lab, dom0, service, guest)
    rebooted(lab, dom0, service, guest)
    for limit in ("suspend-grace = 5", "suspend-memory = 0%"):
        kept_no_longer(lab, service, guest, limit)
    guest.destroy()
    dom0.poll(lambda: tmem.state_of(service, "g1") is None, 900, "the client of a destroyed guest to be freed")


def load(guest):
    guest.run("insmod /root/tmem.ko disks=2 disksize_mb=256")
    tmem.connected(guest)


def save(lab, service, guest):
    """xl save; the client is listed as suspended when its domain is gone."""
    image = guest.save()
    service.dom0.poll(lambda: tmem.state_of(service, "g1") == "suspended", 900, "the saved guest to be listed as suspended")
    lab.expect(not guest.exists(), "xl save left the domain running")
    return image


def restore(guest, image):
    guest.restore(image)
    tmem.connected(guest)


def gone(lab, guest, what):
    """Nothing of what was written can be read: no old bytes, no newer ones, no zeros; and the disk is as good as new."""
    lab.equal(diskio.readable(guest, DISK, SOME_PAGES), [], f"readable pages of {what}")
    lab.expect(tmem.disk_stat(guest, "lost_reads", "tmemswap1") >= len(SOME_PAGES), "lost reads were not counted")
    written = diskio.write_random(guest, DISK, MEGABYTES)
    lab.equal(diskio.read_sum(guest, DISK, MEGABYTES), written, "bytes written after the loss")
    guest.must_live()
    return written


def swapped_work_goes_on(lab, service, guest):
    """Saved in the middle of swapping; after the restore the work ends with every word right. Its xl.cfg is gone by then: the agent
    knows by the record of its uuid that it has tmem."""
    tmem.swap_on(guest)
    work = guest.start("pressure 90 1")
    service.dom0.poll(lambda: tmem.disk_stat(guest, "num_writes") > 2000, 900, "the guest to swap")
    image = save(lab, service, guest)
    service.dom0.run(f"rm {guest.config_path}")
    restore(guest, image)
    service.dom0.write_file(guest.config_path, guest.config)
    work.wait(timeout=1800)
    for name in ("failed_reads", "failed_writes"):
        lab.equal(tmem.disk_stat(guest, name), 0, name)
    guest.run("swapoff /dev/tmemswap0")


def an_image_restored_twice(lab, service, guest, written):
    """The first restore has the pages; also when dom0's agent comes later than the guest. The second has none."""
    image = save(lab, service, guest)
    service.agent.kill()
    service.agent.wait(check=False)
    guest.restore(image)
    service.agent = service.start_agent()
    tmem.connected(guest)
    lab.equal(diskio.read_sum(guest, DISK, MEGABYTES), written, "bytes after the first restore")
    second = guest.save(path="/var/lib/xen/second.save")    # a younger image: now the older one must not get its pages either
    service.dom0.run(f"rm {second}")
    restore(guest, image)
    gone(lab, guest, "an image restored for the second time")
    return image


def an_image_older_than_the_guest(lab, dom0, guest):
    """xl save -c: the guest runs on with its pages; the image is told that they are gone, whatever it did since."""
    written = diskio.write_random(guest, DISK, MEGABYTES)
    image = guest.save("-c")
    guest.attach()
    guest.wait_ready()
    tmem.connected(guest)
    lab.equal(diskio.read_sum(guest, DISK, MEGABYTES), written, "bytes of the guest that runs on")
    diskio.write_random(guest, DISK, MEGABYTES)
    guest.destroy()
    guest.wait_gone()
    restore(guest, image)
    gone(lab, guest, "an image older than the guest that ran on")
    lab.equal(dom0.domains(), {"Domain-0": 0, "g1": guest.domid}, "domains")
    return image


def forgotten(lab, dom0, service, guest):
    image = save(lab, service, guest)
    service.ctl("forget g1")
    dom0.poll(lambda: tmem.state_of(service, "g1") is None, 900, "the suspended client to be freed")
    restore(guest, image)
    gone(lab, guest, "a client that was forgotten")
    dom0.run(f"rm {image}")


def kept_no_longer(lab, service, guest, limit):
    """What a suspended guest may keep is bounded, by time and by memory."""
    service.configure(f"{limit}\n")
    diskio.write_random(guest, DISK, MEGABYTES)
    image = guest.save()
    service.dom0.poll(lambda: tmem.state_of(service, "g1") is None, 900, f"the suspended client to be freed by {limit}")
    restore(guest, image)
    gone(lab, guest, f"a client freed by {limit}")
    service.dom0.run(f"rm {image}")


def rebooted(lab, dom0, service, guest):
    """Another boot is another life: its pools are empty, and the old ones are freed."""
    before = guest.domid
    dom0.xl(f"reboot {before}")
    dom0.poll(lambda: dom0.domains().get("g1", before) != before, 900, "the guest to come back from its reboot")
    guest.attach()
    guest.wait_ready()
    load(guest)
    lab.equal(len(service.json("list")["clients"]), 1, "clients after the reboot")
    zeros = dom0.run(f"dd if=/dev/zero bs=64k count={MEGABYTES * diskio.BLOCKS_PER_MIB} 2>/dev/null | md5sum").out
    lab.equal(diskio.read_sum(guest, DISK, MEGABYTES), zeros, "a new disk's bytes")
    lab.equal(tmem.disk_stat(guest, "failed_reads", "tmemswap1"), 0, "failed reads after the reboot")
