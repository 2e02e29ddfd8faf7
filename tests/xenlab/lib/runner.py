# SPDX-License-Identifier: MIT
"""Finds scenarios, runs them one after another, and says what became of each."""

import importlib.util
import shutil
import time
import traceback

from .base import LAB, OUT, LabError, Skip
from .lab import Lab

SCENARIOS = LAB / "scenarios"


class Scenario:
    """One file of scenarios/: its first docstring line says what it shows, its scenario(lab) does it."""

    def __init__(self, path):
        self.name = path.stem
        spec = importlib.util.spec_from_file_location(f"scenario_{self.name.replace('-', '_')}", path)
        self._module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._module)
        self.summary = self._module.__doc__.strip().splitlines()[0]

    def run(self, keep=False):
        """Runs the scenario in an output directory of its own; returns {name, result, seconds, reason}."""
        out = OUT / self.name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        lab, started = Lab(out), time.monotonic()
        result, reason = "passed", ""
        try:
            self._module.scenario(lab)
        except Skip as skip:
            result, reason = "skipped", str(skip)
        except LabError as error:
            result, reason = "failed", str(error)
        except Exception:  # pylint: disable=broad-exception-caught
            result, reason = "failed", traceback.format_exc()
        seconds = time.monotonic() - started
        if result == "failed":
            lab.last_words()
        if keep and lab.machine:
            input(f"{self.name} {result}; the machine is kept running. Logs: {out}. Press Enter to end it. ")
        lab.stop()
        for disk in out.rglob("*.disk"):
            disk.unlink()
        if reason:
            (out / "reason").write_text(reason + "\n")
        return {"name": self.name, "result": result, "seconds": round(seconds, 1), "reason": reason}


def scenarios():
    """All scenarios by name."""
    return {path.stem: Scenario(path) for path in sorted(SCENARIOS.glob("*.py"))}
