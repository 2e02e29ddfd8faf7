# SPDX-License-Identifier: MIT
"""dom0 tunes a guest's self-ballooning while it runs: each key acts within a second or two, bad values are refused; xl create carries keys."""

from lib import flow, tmem

# key -> a value that is not its default
VALUES = {
    "selfballoon_policy": "committed", "selfballoon_interval": 2, "selfballoon_downhysteresis": 4, "selfballoon_uphysteresis": 2,
    "selfballoon_min_usable_mb": 120, "selfballoon_reserved_mb": 30, "frontswap_selfshrinking": 0, "frontswap_hysteresis": 10,
    "frontswap_inertia": 5, "pressure_reserve_percent": 20, "pressure_stall_permille": 10, "pressure_refaults": 500,
    "pressure_inertia": 1, "pressure_window": 4, "selfballooning": 0,
}


def scenario(lab):
    dom0 = lab.boot(customize=tmem.add_programs)
    dom0.write_file("/etc/xen/tmem.conf", "xen-domain = 0\n")
    agent = dom0.start("exec xen-tmem-agent 2>&1")
    agent.wait_line("service's domain")
    carried = ["tmem_selfballoon=1", "tmem_selfballoon_interval=3", 'tmem_selfballoon_policy="pressure"', "tmem_pressure_window=6"]
    guest = flow.guest(lab, memory=256, config=carried).create()
    daemon = flow.start(guest)
    lab.equal({key: flow.state(guest)[key] for key in ("selfballooning", "selfballoon_interval", "pressure_window", "state")},
              {"selfballooning": "1", "selfballoon_interval": "3", "pressure_window": "6", "state": "running"}, "what xl create carried")

    for key, value in VALUES.items():
        flow.tune(guest, key, value)
        dom0.poll(lambda key=key, value=value: flow.state(guest)[key] == str(value), 30, f"{key} to be applied")
    lab.equal(flow.state(guest)["state"], "off", "state when switched off")
    dom0.poll(lambda: flow.decision(guest)["reason"].startswith("off"), 30, "the switch to act")

    flow.tune(guest, "selfballoon_interval", "never")
    dom0.poll(lambda: "selfballoon_interval: 'never' is not a number from 1 to 3600" in (guest.xs_read(flow.REPORT + "/refused") or ""), 30, "the refusal")
    lab.equal(flow.state(guest)["selfballoon_interval"], "2", "the old value stays")
    dom0.xs_rm(guest.path(flow.KEYS))
    dom0.poll(lambda: flow.state(guest)["selfballoon_interval"] == "5", 30, "the default to come back")
    lab.equal(guest.xs_read(flow.REPORT + "/refused"), "", "refusals after the keys are gone")
    denied = guest.run(f"xenstore-write {flow.KEYS}/selfballoon_interval 1", check=False)
    lab.expect(denied.code != 0, "the guest can tune itself through dom0's nodes")

    # What is tuned acts: a floor of 200 MB holds, and without it the guest goes on giving.
    flow.tune(guest, "selfballoon_interval", 1)
    flow.tune(guest, "selfballoon_min_usable_mb", 200)
    dom0.poll(lambda: flow.decision(guest)["reason"] in ("settled", "at the floor"), 240, "the guest to settle above its floor")
    held = flow.current_kib(guest)
    lab.expect(held >= 200 * 1024, f"{held} KiB is below the floor")
    flow.tune(guest, "selfballoon_min_usable_mb", 0)
    dom0.poll(lambda: flow.current_kib(guest) < held - 16 * 1024, 240, "the guest to give more without the floor")
    flow.must_have_memory(lab, guest)
    daemon.kill(15)
