# SPDX-License-Identifier: MIT
"""A PV guest goes on after xl save and restore, with its memory, its processes and a new domid."""


def scenario(lab):
    dom0 = lab.boot(dom0_memory=1024)
    guest = lab.guest("g1", memory=112).create()
    guest.run("dd if=/dev/urandom of=/tmp/state bs=1M count=8 2>/dev/null; echo old >/tmp/mark")
    before = guest.run("md5sum /tmp/state").out
    waiting = guest.start("exec sleep 100000")
    first = guest.domid

    image = guest.save()
    lab.expect(not guest.exists(), "xl save left the domain running")
    guest.restore(image)
    lab.expect(guest.domid != first, "the restored domain has its old id")
    lab.equal(guest.run("md5sum /tmp/state").out, before, "contents of memory")
    guest.run("pidof sleep")
    waiting.kill(15)
    lab.equal(waiting.wait(check=False).code, 128 + 15, "the process started before the save, killed after the restore")

    # xl save -c: the guest runs on, and its image is older than it.
    image = guest.save("-c")
    guest.attach()
    guest.wait_ready()
    guest.run("echo new >/tmp/mark")
    guest.destroy()
    guest.wait_gone()
    guest.restore(image)
    lab.equal(guest.run("cat /tmp/mark").out, "old\n", "state of the image")
    guest.must_live()
    guest.shutdown()
    lab.equal(dom0.domains(), {"Domain-0": 0}, "domains at the end")
