# SPDX-License-Identifier: MIT
"""tmem=1 is found however a guest is started, outlives reboots, and is not taken for a namesake's; xen-tmemctl create, attach, detach."""

from lib import tmem

# The file lies where the agent would never look: only xl's command line tells of it. The fifth is what xendomains does.
WAYS = ["xl create any.cfg", "xl create -p ./any.cfg", "xl create -f any.cfg", "xl create ../guests/any.cfg",
        "xl create --quiet --defconfig /srv/guests/any.cfg"]


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    service = tmem.Service(lab, dom0)
    plain = lab.guest("g1", memory=96).config
    dom0.write_file("/srv/guests/any.cfg", plain + "tmem=1\ntmem_weight=11\n")
    dom0.write_file("/srv/guests/none.cfg", plain)
    ways(dom0)
    reboot(dom0)
    namesakes(lab, dom0)
    operators(lab, dom0, service)
    late_agent(lab, dom0, service)


def create(dom0, command):
    dom0.run(f"cd /srv/guests && {command}")


def backend(dom0, node):
    return f"/local/domain/0/backend/tmem/{dom0.domains()['g1']}/0/{node}"


def attached(dom0, weight):
    """Waits until g1 is offered a device with this weight."""
    dom0.xs_wait(backend(dom0, "state"), 2)
    dom0.poll(lambda: f"weight={weight} " in (dom0.xs_read(backend(dom0, "policy")) or ""), 60, f"weight {weight} of g1")


def not_attached(lab, dom0, why):
    dom0.run("until xen-tmem-agent --once 2>/dev/null; do sleep 0.2; done")   # whoever was to be attached is now
    lab.equal(dom0.xs_read(backend(dom0, "state")), None, why)


def end(dom0):
    path = f"/local/domain/0/backend/tmem/{dom0.domains()['g1']}"
    dom0.xl("destroy g1")
    dom0.xs_wait_gone(path)


def ways(dom0):
    for way in WAYS:
        create(dom0, way)
        attached(dom0, 11)
        end(dom0)
    console = dom0.start("cd /srv/guests && exec xl create -c any.cfg")
    dom0.poll(lambda: "g1" in dom0.domains(), 120, "g1 to be created with its console")
    attached(dom0, 11)
    end(dom0)
    console.kill()              # xenconsole waits for ever for the tty of a guest that goes before it had one
    console.wait(check=False)
    create(dom0, "xl create none.cfg tmem=1 tmem_weight=12")
    attached(dom0, 12)
    end(dom0)


def again(dom0):
    """g1 reboots: xl makes a new domain of it."""
    before = dom0.domains()["g1"]
    dom0.xl("sysrq g1 b")
    dom0.poll(lambda: dom0.domains().get("g1", before) != before, 120, "g1 to have a new number")


def reboot(dom0):
    create(dom0, "xl create none.cfg tmem=1 tmem_weight=13")
    attached(dom0, 13)
    again(dom0)
    attached(dom0, 13)
    end(dom0)


def namesakes(lab, dom0):
    """One after the other; the first one's file stays in /etc/xen."""
    dom0.run("cp /srv/guests/any.cfg /etc/xen/g1.cfg")
    create(dom0, "xl create -p /etc/xen/g1.cfg")
    attached(dom0, 11)
    end(dom0)
    create(dom0, "xl create -p none.cfg")
    not_attached(lab, dom0, "the device of a guest whose namesake had tmem")
    dom0.xl("destroy g1")
    dom0.run("rm /etc/xen/g1.cfg")


def operators(lab, dom0, service):
    create(dom0, "xen-tmemctl create none.cfg weight=21 cap=8M")
    attached(dom0, 21)
    lab.expect("cap-pages=2048" in dom0.xs_read(backend(dom0, "policy")), "the cap of xen-tmemctl create")
    end(dom0)
    create(dom0, "xl create none.cfg")
    not_attached(lab, dom0, "the device of a guest that nobody gave one")
    service.ctl("--timeout 120 attach g1 weight=22")
    attached(dom0, 22)
    again(dom0)
    attached(dom0, 22)
    service.ctl("--timeout 120 detach g1")
    lab.equal(dom0.xs_read(backend(dom0, "state")), None, "the device of a guest that was detached")
    again(dom0)
    not_attached(lab, dom0, "the device of a guest that was detached and rebooted")
    dom0.xl("destroy g1")


def late_agent(lab, dom0, service):
    """The agent comes after the guest, and finds what xl was given."""
    service.agent.kill()
    create(dom0, "xl create -p /srv/guests/any.cfg")
    lab.equal(dom0.xs_read(backend(dom0, "state")), None, "the device of a guest that was started without the agent")
    service.start_agent()
    attached(dom0, 11)
    end(dom0)
