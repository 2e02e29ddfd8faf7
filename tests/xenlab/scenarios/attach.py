# SPDX-License-Identifier: MIT
"""Both xenstored daemons: a guest is attached to the tmem domain with few nodes, doctor shows the quotas, the C one is replaced, nothing stays behind."""

from lib import tmem

NODES_OWNED_MAX = 8


def scenario(lab):
    for store in ("c", "ocaml"):
        dom0 = lab.boot(store, label=store, customize=tmem.add_programs)
        service = tmem.Domain(lab, dom0)
        with_driver = tmem.guest(lab, "g1", config=["tmem=1"]).create()
        tmem.connected(with_driver)
        without = lab.guest("g2", config=["tmem=1", "tmem_weight=20"]).create()
        back = f"/local/domain/{service.domain.domid}/backend/tmem"
        dom0.xs_wait(f"{back}/{without.domid}/0/state", 2)
        owned = [line for line in dom0.xs_ls(f"{back}/{with_driver.domid}").splitlines() if f"(n{service.domain.domid}" in line]
        lab.expect(0 < len(owned) <= NODES_OWNED_MAX, f"{store}: the service's domain owns {len(owned)} nodes for a guest")

        findings = {}
        for finding in service.json("doctor")["findings"]:
            findings.setdefault(finding["check"], []).append(finding)
        for check in ("service", "xen-agent", "xen-service", "xen-stale", "xen-quotas"):
            lab.expect(all(one["level"] == "ok" for one in findings[check]), f"{store}: doctor says {findings[check]}")
        lab.expect(" of 1000 nodes" in findings["xen-quotas"][0]["text"], f"{store}: doctor says {findings['xen-quotas']}")
        lab.expect("'g2'" in findings["xen-guests"][0]["text"], f"{store}: doctor says {findings['xen-guests']}")

        guests = [with_driver, without]
        if store == "c":    # the other one cannot
            command = "tr '\\0' ' ' </proc/$(cat /run/xenstored.pid)/cmdline"
            before = dom0.run(command).out
            dom0.run("xenstore-control live-update $(which xenstored)", timeout=120)
            dom0.poll(lambda: dom0.run(command).out not in ("", before), 60, "xenstored to run as a new program in the old one's process")
            guests.append(tmem.guest(lab, "g3", config=["tmem=1"]).create())
            tmem.connected(guests[-1])
        for guest in guests:
            guest.must_live()
        for guest in guests:
            guest.destroy()
            dom0.xs_wait_gone(f"{back}/{guest.domid}")
        dom0.poll(lambda: not service.clients(), 60, "the client of a destroyed guest to be freed")
