# SPDX-License-Identifier: MIT
"""The program swapbench in a guest."""

from .base import LabError

KILLED = 128 + 9


def run(guest, mebibytes, touches):
    """Its figures by name, or None where the guest ran out of memory and killed it."""
    job = guest.run(f"swapbench {mebibytes} {touches}", timeout=1800, check=False)
    if job.code == KILLED:
        return None
    if job.code != 0:
        raise LabError(f"swapbench in {guest.name}: {job.out}{job.err}")
    return {key: float(value) for key, value in (word.split("=") for word in job.out.split()[1:])}
