# SPDX-License-Identifier: MIT
"""The emulated processor keeps vector registers over interrupts and context switches: without that no other result counts."""

ROUNDS = 150


def scenario(lab):
    dom0 = lab.boot(programs=["registers"])
    guest = lab.guest("g1", vcpus=2, programs=["registers"]).create()
    runs = [where.start(f"registers {ROUNDS}") for where in (dom0, guest) for _ in range(4)]
    for run in runs:
        run.wait(timeout=600)
