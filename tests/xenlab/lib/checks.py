# SPDX-License-Identifier: MIT
"""What several scenarios check of a guest."""


def check_guest(lab, dom0, guest, mode):
    """The guest is of the given type, obeys, carries odd bytes unharmed, logs, and shuts down."""
    lab.equal(dom0.domains(), {"Domain-0": 0, guest.name: guest.domid}, "domains")
    lab.equal(guest.run("cat /sys/hypervisor/guest_type").out.strip(), mode, "type as the guest sees it")
    lab.equal(guest.run("xenstore-read domid").out.strip(), str(guest.domid), "domid as the guest reads it")
    failing = guest.run("echo good; echo bad >&2; exit 3", check=False)
    lab.equal((failing.code, failing.out, failing.err), (3, "good\n", "bad\n"), "a failing command in the guest")
    odd = "odd @ \\x41 \x01 bytes\n"
    lab.equal(guest.run("cat", stdin=odd).out, odd, "bytes through the guest's agent")
    guest.run("echo seen >/dev/kmsg")
    guest.wait_console("seen$")
    guest.must_live()
    guest.shutdown()
    lab.equal(dom0.domains(), {"Domain-0": 0}, "domains after the shutdown")
