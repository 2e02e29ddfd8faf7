# SPDX-License-Identifier: MIT
"""xen-tmemctl detach and attach while a guest runs: refused when pages would be lost, forced all the same, and back with another policy."""

from lib import tmem

KEEP = "dd if=/tmp/kept of=/dev/tmemswap0 bs=64k oflag=direct 2>/dev/null"


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    service = tmem.Domain(lab, dom0)
    guest = tmem.guest(lab, config=["tmem=1"]).create()
    tmem.connected(guest)
    guest.run(f"dd if=/dev/urandom of=/tmp/kept bs=64k count=8 2>/dev/null && {KEEP}")
    refused = service.ctl("detach g1", check=False)
    lab.equal(refused.code, 5, "exit status of a detach that would lose pages")
    lab.expect("pages in tmem that would be lost" in refused.err, f"it said: {refused.err}")
    service.ctl("--timeout 120 detach g1 --force")
    lab.expect(not service.clients(), "a detached guest still has pools")
    dom0.xs_wait_gone(guest.path("device/tmem/0"))

    said = service.ctl("--timeout 120 attach g1 weight=60 cap=32M").out
    lab.expect("is attached" in said, f"attach said: {said}")
    tmem.connected(guest)
    policy = service.clients()["g1"]["policy"]
    lab.equal((policy["weight"], policy["cap_pages"]), (60, 32 * 256), "the policy that attach named")
    lost = guest.run("dd if=/dev/tmemswap0 of=/dev/null bs=4k count=1 iflag=direct", check=False)
    lab.expect(lost.code != 0, "a page that was lost with the detach could be read")
    guest.run(f"{KEEP} && dd if=/dev/tmemswap0 bs=64k count=8 iflag=direct 2>/dev/null | cmp - /tmp/kept")
    guest.must_live()
