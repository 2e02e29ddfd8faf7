# SPDX-License-Identifier: MIT
"""Runs commands with progress and a log each, collects outcomes, prints the summary. Knows nothing of what is tested."""
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass
class Case:
    """One thing that was tried. detail: the reason of a skip, the last words of a failure, a figure of a success."""
    name: str
    outcome: str
    detail: str = ""


@dataclass
class Stage:
    """run(context) gives a list of cases. needs: stages that must not have failed. quick: part of the developer's loop."""
    name: str
    what: str
    run: object
    needs: tuple = ()
    quick: bool = False


@dataclass
class Context:
    top: str
    long: bool
    quick: bool
    seed: int
    cores: int = field(default_factory=lambda: max(1, len(os.sched_getaffinity(0))))
    stage: str = ""

    def path(self, *parts):
        return os.path.join(self.top, *parts)

    def log_path(self, name):
        folder = self.path("build", "logs")
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, name + ".log")


class Progress:
    """One line that is rewritten on a terminal; elsewhere a line when something changed, at most every 20 seconds."""

    def __init__(self, stage):
        self.stage, self.start, self.told = stage, time.monotonic(), time.monotonic()
        self.tty = sys.stdout.isatty()

    def tell(self, text):
        now = time.monotonic()
        if now - self.told < (0.2 if self.tty else 20):
            return
        self.told = now
        line = f"   {self.stage} {int(now - self.start):4d} s  {text.strip()}"
        if self.tty:
            sys.stdout.write("\r\x1b[K" + line[:terminal_width() - 1])
        else:
            sys.stdout.write(line[:150] + "\n")
        sys.stdout.flush()

    def clear(self):
        if self.tty:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()


def terminal_width():
    try:
        return os.get_terminal_size().columns
    except OSError:
        return 100


def run_logged(context, command, log_name, env=None, timeout_s=1800):
    """Runs command, output to its log, last line as progress. Gives (exit status, log path); a timeout is status 124."""
    log_path = context.log_path(log_name)
    progress = Progress(context.stage)
    deadline = time.monotonic() + timeout_s
    with open(log_path, "wb") as log:
        log.write(("$ " + " ".join(command) + "\n").encode())
        log.flush()
        child = subprocess.Popen(command, cwd=context.top, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                                 stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = wait_with_progress(child, log_path, progress, deadline)
        except BaseException:
            end_group(child)
            raise
    progress.clear()
    return status, log_path


def wait_with_progress(child, log_path, progress, deadline):
    while True:
        try:
            return child.wait(timeout=0.25)
        except subprocess.TimeoutExpired:
            pass
        progress.tell(last_line(log_path))
        if time.monotonic() > deadline:
            end_group(child)
            return 124


def end_group(child):
    """Ends a command that we started together with what it started."""
    for sig, patience_s in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(child.pid, sig)
            child.wait(timeout=patience_s)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def last_line(path):
    with open(path, "rb") as f:
        f.seek(0, os.SEEK_END)
        f.seek(max(0, f.tell() - 4096))
        lines = [line for line in f.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def tail(path, lines=25):
    with open(path, encoding="utf-8", errors="replace") as f:
        return "".join(f.readlines()[-lines:])


def command_case(context, name, command, log_name=None, env=None, timeout_s=1800):
    """A command that counts as one case: exit 0 passed, 77 skipped (its last line is the reason), else failed."""
    status, log = run_logged(context, command, log_name or name, env, timeout_s)
    if status == 0:
        return Case(name, PASSED)
    if status == 77:
        return Case(name, SKIPPED, last_line(log))
    why = f"no end after {timeout_s} s" if status == 124 else f"exit status {status}"
    return Case(name, FAILED, f"{why}; {os.path.relpath(log, context.top)} ends:\n{tail(log)}")


def run_stages(context, stages):
    """Runs the stages in order and prints as they end. Gives rows of (stage, cases, seconds)."""
    rows, failed = [], set()
    for stage in stages:
        context.stage = stage.name
        print(f"== {stage.name}: {stage.what}", flush=True)
        start = time.monotonic()
        missing = [n for n in stage.needs if n in failed]
        if missing:
            cases = [Case(stage.name, SKIPPED, f"stage {missing[0]} failed")]
        else:
            cases = stage.run(context) or [Case(stage.name, FAILED, "the stage found nothing to run")]
        seconds = time.monotonic() - start
        if any(c.outcome == FAILED for c in cases):
            failed.add(stage.name)
        for case in cases:
            if case.outcome == FAILED:
                print(f"-- FAILED {case.name}\n   " + case.detail.rstrip().replace("\n", "\n   "), flush=True)
        rows.append((stage, cases, seconds))
        print(f"   {counts(cases)}, {seconds:.0f} s", flush=True)
    return rows


def count(cases, outcome):
    return sum(1 for c in cases if c.outcome == outcome)


def counts(cases):
    return ", ".join(f"{count(cases, o)} {o}" for o in (PASSED, FAILED, SKIPPED))


def summary(rows):
    """Prints the table, the skips with their reasons, the failures, and the closing line. Gives the exit status."""
    everything = [(stage, case) for stage, cases, _ in rows for case in cases]
    skips = {}
    for stage, case in everything:
        if case.outcome == SKIPPED:
            skips.setdefault((stage.name, case.detail.strip() or "no reason given"), []).append(case.name)
    print("\nstage         passed  failed  skipped  seconds")
    for stage, cases, seconds in rows:
        print(f"{stage.name:12}  {count(cases, PASSED):6}  {count(cases, FAILED):6}  {count(cases, SKIPPED):7}  {seconds:7.0f}")
    print(f"{'all':12}  {'':6}  {'':6}  {'':7}  {sum(s for _, _, s in rows):7.0f}")
    for (stage, reason), names in skips.items():
        print(f"skipped: {stage}: {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}: {reason}")
    for stage, case in everything:
        if case.outcome == FAILED:
            print(f"failed: {stage.name}: {case.name}")
    cases = [case for _, case in everything]
    print(counts(cases))
    return 1 if count(cases, FAILED) or not count(cases, PASSED) else 0
