# SPDX-License-Identifier: MIT
"""dom0 tunes a guest's self-ballooning while it runs: keys apply and act, bad values are refused, and xl create carries them."""

import re

from lib import flow, tmem

# key -> a value that is not its default
VALUES = {
    "selfballoon_policy": "committed", "selfballoon_interval": 2, "selfballoon_downhysteresis": 4, "selfballoon_uphysteresis": 2,
    "selfballoon_min_usable_mb": 120, "selfballoon_reserved_mb": 30, "frontswap_selfshrinking": 0, "frontswap_hysteresis": 10,
    "frontswap_inertia": 5, "pressure_reserve_percent": 20, "pressure_stall_permille": 10, "pressure_refaults": 500,
    "pressure_inertia": 1, "pressure_window": 4, "selfballooning": 0,
}


def by_tool(guest, key, value):
    guest._dom0.run(f"xen-tmemctl selfballoon set {guest.name} {key}={value}")


def takes(guest):
    return [move for move in flow.log(guest) if move[3].startswith("takes")]


def acts_on_steps(lab, dom0, guest):
    """When memory is taken, and how much at a time."""
    flow.tune(guest, "selfballooning", 0)
    dom0.poll(lambda: flow.decision(guest)["reason"].startswith("off"), 60, "everything to be given back")
    for key, value in {"pressure_inertia": 65536, "selfballoon_interval": 4, "selfballoon_downhysteresis": 65536, "selfballooning": 1}.items():
        by_tool(guest, key, value)
    dom0.poll(lambda: flow.decision(guest)["reason"].startswith("quiet, but not"), 120, "an inertia that never ends")
    seen = takes(guest)
    flow.tune(guest, "pressure_inertia", 1)
    dom0.poll(lambda: len([move for move in takes(guest) if move not in seen]) >= 3, 240, "three takes")
    latest = takes(guest)[-3:]
    lab.equal({from_ - to for _, from_, to, _ in latest}, {1024}, "KiB of each take, of which only a 65536th may be taken but for 1 MiB")
    lab.expect(all(later[0] - earlier[0] >= 3 for earlier, later in zip(latest, latest[1:])), f"an interval of 4 seconds, and takes at {latest}")
    told = dom0.run(f"xen-tmemctl selfballoon log {guest.name}").out
    lab.expect(latest[0][3] in told, f"a take that dom0's tool does not tell of: {latest[0]}, only\n{told}")


def acts_on_sizes(lab, dom0, guest):
    """How much the guest keeps, and how fast it gets that."""
    by_tool(guest, "selfballoon_interval", 1)
    flow.tune(guest, "selfballoon_downhysteresis", 1)
    dom0.poll(lambda: flow.settled(guest), 120, "the guest to settle")
    held = flow.current_kib(guest)
    by_tool(guest, "pressure_reserve_percent", 60)
    dom0.poll(lambda: flow.current_kib(guest) >= held + 32 * 1024, 120, "the new reserve to be there")
    by_tool(guest, "pressure_reserve_percent", 20)
    dom0.poll(lambda: flow.current_kib(guest) < held + 32 * 1024 and flow.settled(guest), 120, "what a smaller reserve leaves over to be taken")

    for key, value in {"pressure_stall_permille": 1000, "pressure_refaults": 1000000, "selfballoon_uphysteresis": 4, "pressure_window": 64}.items():
        flow.tune(guest, key, value)    # else a sign of pressure gives all at once
    seen = flow.log(guest)
    job = guest.start("exec pressure 40 1000000")
    dom0.poll(lambda: len([move for move in flow.log(guest) if move not in seen and move[3] == "need has grown"]) >= 3, 120, "need to be given a quarter at a time")
    dom0.poll(lambda: flow.settled(guest), 120, "what the job needs to be given")
    grown = flow.current_kib(guest)
    job.kill()
    guest.run("sleep 10")
    lab.expect(flow.current_kib(guest) > grown - 8 * 1024, "what was needed within the last 64 seconds was taken")
    flow.tune(guest, "pressure_window", 1)
    dom0.poll(lambda: flow.current_kib(guest) < grown - 16 * 1024, 120, "what was needed more than a second ago to be taken")

    flow.tune(guest, "selfballoon_uphysteresis", 1)
    by_tool(guest, "selfballoon_reserved_mb", 140)
    flow.tune(guest, "selfballoon_policy", "committed")
    dom0.poll(lambda: flow.decision(guest)["reason"] == "follows what is committed", 120, "the other policy to decide")
    lab.expect(int(flow.decision(guest)["target-kib"]) >= 140 * 1024, "what is reserved above what is committed is not kept")
    by_tool(guest, "selfballoon_reserved_mb", 0)
    dom0.poll(lambda: int(flow.decision(guest)["target-kib"]) < 140 * 1024, 120, "what was reserved to be given")


def acts_on_pages(lab, dom0, guest, daemon):
    """Pages of a process that sleeps come back from tmem: after how long, and how many at a time."""
    flow.tune(guest, "selfballooning", 0)
    by_tool(guest, "frontswap_selfshrinking", 0)
    dom0.poll(lambda: flow.decision(guest)["reason"].startswith("off"), 60, "everything to be given back")
    tmem.connected(guest)
    tmem.swap_on(guest)
    sleeper = guest.start("exec pressure 60 1000000")
    sleeper.wait_line("pages written")
    sleeper.kill(19)
    guest.run("pressure 170 1", timeout=900)
    full = swapped_kib(guest)
    lab.expect(full > 16 * 1024, f"only {full} KiB of the sleeper are swapped out")
    for keys, why in (({"frontswap_inertia": 65536, "frontswap_hysteresis": 64, "frontswap_selfshrinking": 1, "selfballooning": 1}, "in spite of an inertia that never ends"),
                      ({"frontswap_selfshrinking": 0, "frontswap_inertia": 1}, "without frontswap_selfshrinking")):
        for key, value in keys.items():
            by_tool(guest, key, value)
        guest.run("sleep 15")
        lab.expect(swapped_kib(guest) > full * 7 // 8, f"pages came back {why}")
    by_tool(guest, "frontswap_selfshrinking", 1)
    dom0.poll(lambda: swapped_kib(guest) < full, 60, "the first pages to come back")
    lab.expect(swapped_kib(guest) > full // 2, "more than some 64ths of the pages came back at first")
    by_tool(guest, "frontswap_hysteresis", 1)
    # The emulator's processor brings some hundred back at a time, whatever the daemon wants.
    dom0.poll(lambda: any(int(of) * 4 > full // 2 for of in re.findall(r"back from tmem, of (\d+)", daemon.out)), 60, "all the rest to be wanted at once")
    dom0.poll(lambda: swapped_kib(guest) < full // 4, 600, "most of the rest to come back")
    sleeper.kill()


def acts_on_signs(dom0, guest):
    """What is taken for a sign of pressure, while a job swaps all the time."""
    job = guest.start("exec pressure 230 1000000")
    by_tool(guest, "pressure_reserve_percent", 60)  # a stall counts where less than the reserve is available
    for permille, refaults, reason in ((1000, 1, "pages are read back"), (1, 1000000, "processes stall for memory")):
        flow.tune(guest, "pressure_stall_permille", permille)
        by_tool(guest, "pressure_refaults", refaults)
        dom0.poll(lambda reason=reason: flow.decision(guest)["reason"] == reason, 120, f"the sign: {reason}")
    job.kill()


def swapped_kib(guest):
    return int(guest.run("awk '/tmemswap/ {print $4}' /proc/swaps").out)


def scenario(lab):
    def customize(image):
        tmem.add_programs(image)
        flow.add_daemon(image)

    dom0 = lab.boot(customize=customize)
    lab.expect("this is dom0" in dom0.run("xen-selfballoond 2>&1").out, "the daemon does not say that it does nothing in dom0")
    tmem.Service(lab, dom0)
    carried = ["tmem=1", "tmem_selfballoon=1", "tmem_selfballoon_interval=3", 'tmem_selfballoon_policy="pressure"', "tmem_pressure_window=6"]
    guest = flow.guest(lab, module=True, memory=256, config=carried).create()
    daemon = flow.start(guest)
    lab.equal({key: flow.state(guest)[key] for key in ("selfballooning", "selfballoon_interval", "pressure_window", "state")},
              {"selfballooning": "1", "selfballoon_interval": "3", "pressure_window": "6", "state": "running"}, "what xl create carried")

    for number, (key, value) in enumerate(VALUES.items()):
        tune = by_tool if number % 2 else flow.tune
        tune(guest, key, value)
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

    acts_on_steps(lab, dom0, guest)
    acts_on_sizes(lab, dom0, guest)

    # A floor of 200 MB holds, and without it the guest goes on giving.
    dom0.xs_rm(guest.path(flow.KEYS))
    flow.tune(guest, "selfballoon_interval", 1)
    flow.tune(guest, "selfballoon_min_usable_mb", 200)
    dom0.poll(lambda: flow.current_kib(guest) >= 200 * 1024 and flow.settled(guest), 240, "the guest to settle above its floor")
    held = flow.current_kib(guest)
    flow.tune(guest, "selfballoon_min_usable_mb", 0)
    dom0.poll(lambda: flow.current_kib(guest) < held - 16 * 1024, 240, "the guest to give more without the floor")
    acts_on_pages(lab, dom0, guest, daemon)
    acts_on_signs(dom0, guest)
    flow.must_have_memory(lab, guest)
    daemon.kill(15)
