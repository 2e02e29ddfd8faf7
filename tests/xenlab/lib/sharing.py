# SPDX-License-Identifier: MIT
"""The steps that scenarios on grants share: a guest's sharer, and a mapper elsewhere that lives, is killed, and lives again."""

PAGES = 8
ROUNDS = 100


def start_sharer(guest, peer):
    """Starts the sharer in the guest; returns its process and the node it published."""
    sharer = guest.start(f"sharer {peer} {PAGES} data/share")
    sharer.wait_line("^shared$")
    return sharer, guest.path("data/share")


def map_again_and_again(lab, where, guest, sharer, node):
    """Maps from `where` (dom0 or another guest), killed with -9 in between: contents and event channel must come back."""
    for life in (1, 2, 3, 4):
        mapper = where.start(f"exec mapper {guest.domid} {node} {ROUNDS} hold")
        mapper.wait_line(f"^life {life}: {PAGES} pages right, {ROUNDS} answers$")
        mapper.kill(9)
        lab.equal(mapper.wait(check=False).code, 128 + 9, "exit code of a mapper killed with -9")
        lab.expect(sharer.code is None, "the sharer ended with the mapper")
    last = where.run(f"mapper {guest.domid} {node} {ROUNDS} stop")
    lab.expect(f"life 5: {PAGES} pages right" in last.out, f"the fifth mapper said: {last.out}")
    sharer.wait_line("^stopped after 5 lives$")
    lab.equal(sharer.wait().code, 0, "the sharer's exit code")
    guest.must_live()
