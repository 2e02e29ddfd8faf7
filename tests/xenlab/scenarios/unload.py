# SPDX-License-Identifier: MIT
"""rmmod with a thousand pages and more in tmem, ten times, under pressure and idle, of two swap areas: all come back, right; 5.10."""

from lib import hooks, tmem

ROUNDS = 10
AREAS = ("/dev/xvda", "/dev/xvdb")      # the first, which is filled first, has 2047 pages
# Until less is left, in memory and on the swap device together, than one batch is begun with.
BALLAST = """mkdir -p /ballast && mount -t tmpfs -o size=1g ballast /ballast; n=0
    while [ $(awk '/MemAvailable|SwapFree/ { s += $2 } END { print s }' /proc/meminfo) -gt 12500 ]; do
        dd if=/dev/urandom of=/ballast/$n bs=64k count=4 2>/dev/null; n=$((n + 1)); done"""
MODPROBE_D = tmem.TOP / "guest-shim/linux/boot/tmem-modprobe.conf"


def with_modprobe(image):
    image.program("/usr/sbin/modprobe", "/sbin/modprobe")
    image.add("/etc/modprobe.d/tmem.conf", MODPROBE_D)


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("swap", 8), lab.Disk("swap2", 56)])
    tmem.Service(lab, dom0)
    disks = f'disk=["phy:{dom0.disk("swap")},xvda,w", "phy:{dom0.disk("swap2")},xvdb,w"]'
    guest = hooks.guest(lab, memory=96, also=with_modprobe, config=["tmem=1", disks]).create()
    for device in AREAS:
        hooks.swap_on_disk(guest, device)
    job = guest.start("exec pressure 40 1000000 7")
    for number in range(ROUNDS):
        hooks.load(guest)
        enough = 2500 if number < 2 else 1000       # more than two batches, for what ends between them; in both areas
        dom0.poll(lambda enough=enough: hooks.count(guest, "frontswap_pages") > enough, 900, f"{enough} pages in tmem")
        lab.expect(guest.run("rmmod tmem", check=False).code != 0, "the module went away over pages that are only in tmem")
        if number == 0:
            too_little_memory(lab, guest)
        if number == 1:
            interrupted(lab, guest)
        if number == 2:
            memory_goes(lab, guest)
        if number == ROUNDS - 1:
            job.kill(19)        # SIGSTOP: nobody frees a page but us
            guest.run("/sbin/modprobe -r tmem && ! grep '^tmem ' /proc/modules", timeout=600)
        else:
            hooks.unload(guest, timeout=600)
        lab.equal(job.code, None, f"the job's end in round {number + 1} ({job.out[-200:]})")
    job.kill(18)
    hooks.works_on(lab, dom0, job)
    job.kill()
    for device in AREAS:
        guest.run(f"swapoff {device}", timeout=600)
    guest.must_live()


def too_little_memory(lab, guest):
    """The backend stays, with the pages that have not come, and stores again."""
    guest.run(BALLAST, timeout=600)
    refused = guest.run("echo 0 >/sys/module/tmem/parameters/frontswap", timeout=600, check=False)
    lab.expect(refused.code != 0 and "memory" in refused.err, f"too little memory, and bringing pages back ended with {refused.code}: {refused.err}")
    lab.expect(hooks.count(guest, "frontswap_pages") > 1000, "pages were brought back without memory for them")
    lab.equal(guest.run("cat /sys/module/tmem/parameters/frontswap").out.strip(), "Y", "frontswap after that")
    guest.run("umount /ballast", timeout=600)
    stored = hooks.count(guest, "frontswap_stored")
    guest._dom0.poll(lambda: hooks.count(guest, "frontswap_stored") > stored, 900, "a page to be stored again")


def memory_goes(lab, guest):
    """Others take the memory while pages come: either it was enough, or the backend stays with the rest."""
    start = len(guest.console)
    walk = guest.start("echo 0 >/sys/module/tmem/parameters/frontswap")
    guest.wait_console("bringing pages back", start=start)
    guest.run(BALLAST, timeout=600)
    enough = walk.wait(timeout=600, check=False).code == 0
    pages = hooks.count(guest, "frontswap_pages")
    switch = guest.run("cat /sys/module/tmem/parameters/frontswap").out.strip()
    lab.expect(switch == "N" and pages == 0 if enough else switch == "Y" and pages > 0,
               f"memory went on the way: ended {'well' if enough else 'badly'} with {pages} pages left and frontswap={switch}")
    guest.run("umount /ballast", timeout=600)


def interrupted(lab, guest):
    """A signal ends it between two batches."""
    start = len(guest.console)
    walk = guest.start("echo 0 >/sys/module/tmem/parameters/frontswap")
    guest.wait_console("bringing pages back", start=start)
    walk.kill(2)
    lab.expect(walk.wait(timeout=600, check=False).code != 0, "a signal did not end bringing pages back")
    guest.wait_console("ended with error -4", start=start)
    lab.expect(hooks.count(guest, "frontswap_pages") > 0, "pages left after the signal")
