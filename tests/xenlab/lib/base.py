# SPDX-License-Identifier: MIT
"""What every part of the harness shares: where things lie, the two ways a scenario ends early, and a helper to run a program."""

import hashlib
import os
import subprocess
from pathlib import Path

LAB = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xen-tmem" / "lab"
OUT = LAB / "out"

# How long anything may take, in seconds. A bound for what hangs, not a measure: an emulated machine on a busy host is slow.
PATIENCE = 240


class LabError(Exception):
    """The scenario failed; the text is the reason a person reads."""


class Skip(Exception):
    """The scenario cannot be run here; the text says what is missing."""


def call(*command, **options):
    """Runs a program on this machine, returns its standard output, and fails with what it said."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise LabError(f"{' '.join(str(word) for word in command)}: exit code {done.returncode}\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def digest(*parts):
    """A short name for content: equal parts give equal names."""
    total = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()[:20]


def publish(path, write):
    """Makes `path` by calling write(temporary path) and renaming it: another run never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    write(temporary)
    os.replace(temporary, path)
    return path
