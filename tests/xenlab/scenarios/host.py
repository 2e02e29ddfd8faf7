# SPDX-License-Identifier: MIT
"""The README's commands for a Xen host, with what the units start: the tmem domain from /usr/lib/xen-tmem, the agent, xl create tmem=1."""

import re

from lib import tmem

UNITS = tmem.TOP / "xenstore-config/systemd"


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    tmem.Domain.install(lab, dom0, "/usr/lib/xen-tmem")
    start_unit(dom0, "xen-tmem-domain").wait()
    agent = start_unit(dom0, "xen-tmem-agent")
    agent.wait_line("service's domain is 'tmem'")
    dom0.poll(lambda: dom0.run("xen-tmemctl --timeout 5 info", check=False).code == 0, 240, "the service to answer")
    again = start_unit(dom0, "xen-tmem-domain").wait()   # as after a daemon-reload: nothing happens
    lab.expect("Parsing" not in again.out + again.err, "the unit started a second tmem domain")

    guest = tmem.guest(lab, "web1", memory=128).create(arguments="tmem=1")
    tmem.connected(guest)
    tmem.swap_on(guest)
    guest.run("dd if=/dev/urandom of=/tmp/kept bs=64k count=8 2>/dev/null; swapoff /dev/tmemswap0; dd if=/tmp/kept of=/dev/tmemswap0 bs=64k oflag=direct 2>/dev/null")
    listed = dom0.run("xen-tmemctl list").out
    lab.expect(re.search(r"web1/0 .*persistent private +128 ", listed), f"list says:\n{listed}")
    doctor = dom0.run("xen-tmemctl doctor", check=False)
    lab.equal(doctor.code, 0, f"exit status of doctor, which says:\n{doctor.out}")
    stop = exec_of("xen-tmem-domain", "ExecStop")
    dom0.run(stop)
    guest.must_live()
    lab.expect("tmem" not in dom0.domains(), "the unit's stop left the tmem domain")
    lab.equal(dom0.run(stop).code, 0, "a second stop, when it is gone already")

    start_unit(dom0, "xen-tmem-domain").wait()
    agent.wait_line("service's domain is 'tmem'")
    dom0.poll(lambda: dom0.xs_read(guest.path("device/tmem/0/state")) == "4", 240, "the guest to be connected again")
    dom0.write_file("/usr/lib/xen-tmem/stop-guests", (UNITS / "stop-guests").read_text())
    said = dom0.run("sh /usr/lib/xen-tmem/stop-guests", timeout=600).out   # as the host goes down
    lab.expect("shutting down 'web1'" in said, f"it says {said}")
    dom0.poll(lambda: sorted(dom0.domains()) == ["Domain-0"], 120, "all other domains to be gone after the units' stop")


def exec_of(unit, key):
    return re.search(rf"^{key}=(.*)$", (UNITS / f"{unit}.service").read_text(), re.MULTILINE)[1]


def start_unit(dom0, unit):
    return dom0.start(f"exec {exec_of(unit, 'ExecStart')} 2>&1")
