# SPDX-License-Identifier: MIT
"""The stages of tools/test: what is built, what is run on it, and how long. runner.py does the running."""
import argparse
import os
import random
import re
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

from runner import FAILED, PASSED, SKIPPED, Case, Context, Stage, command_case, run_logged, run_stages, summary, tail

FUZZ_SECONDS, FUZZ_SECONDS_LONG = 20, 300
BUILD_SECONDS_MAX = 14400
# Lengths of the random tests: (developer's loop, default, --all). Under sanitizers a tenth of it is run.
MODEL_OPS = (10_000, 100_000, 2_000_000)
CRASH_ROUNDS = (3, 20, 1000)
MUTATOR_REQUESTS = (10_000, 50_000, 2_000_000)  # quick, and worth most under sanitizers: all of it there too
EXPLORED_FOURS = (5, 50, 2000)
FOURS_PARTS = (200, 100, 1)  # one of so many parts of what there is
SIM_SECONDS = (1800, 1800, 86400)
# What of the lab is run without --all.
LAB_SCENARIOS = ["boot", "grants", "hello-domain"]

SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


def length(context, lengths):
    return lengths[2] if context.long else lengths[0] if context.quick else lengths[1]


def test_env(context, divisor=1):
    return {"TMEM_SEED": str(context.seed), "CTEST_PARALLEL_LEVEL": str(context.cores),
            "TMEM_MODEL_OPS": str(max(1000, length(context, MODEL_OPS) // divisor)),
            "TMEM_CRASH_ROUNDS": str(max(2, length(context, CRASH_ROUNDS) // divisor)),
            "TMEM_MUTATOR_REQUESTS": str(length(context, MUTATOR_REQUESTS)),
            "TMEM_EXPLORED_FOURS": str(max(2, length(context, EXPLORED_FOURS) // divisor)),
            "TMEM_FOURS_PARTS": str(length(context, FOURS_PARTS) * divisor),
            "TMEM_SIM_SECONDS": str(max(SIM_SECONDS[0], length(context, SIM_SECONDS) // divisor))}


def ninja_build(preset, target=None):
    """A stage that configures and builds a preset. One case: it compiles without a warning, or it does not."""
    def run(context):
        env = {}
        if shutil.which("ccache"):
            env = {"CMAKE_C_COMPILER_LAUNCHER": "ccache", "CMAKE_CXX_COMPILER_LAUNCHER": "ccache"}
        configured = command_case(context, f"configure {preset}", ["cmake", "--preset", preset], f"{preset}-configure", env)
        if configured.outcome == FAILED:
            return [configured]
        build = ["cmake", "--build", f"build/{preset}", "-j", str(context.cores)] + (["--target", target] if target else [])
        # A small or busy machine may take hours; what hangs is a test, not a compiler.
        return [command_case(context, f"build {preset}", build, f"{preset}-build", env, BUILD_SECONDS_MAX)]
    return run


def ctest(preset, labels, divisor=1, serial=False):
    """A stage that runs the tests with these labels in a built preset. One case per test."""
    def run(context):
        name = f"{context.stage}"
        junit = context.path("build", "logs", name + ".xml")
        if os.path.exists(junit):
            os.unlink(junit)
        command = ["ctest", "--test-dir", f"build/{preset}", "-L", f"^({'|'.join(labels)})$", "--no-tests=error",
                   "--output-junit", junit, "-j", "1" if serial else str(context.cores)]
        status, log = run_logged(context, command, name, {**SANITIZER_ENV, **test_env(context, divisor)}, 7200)
        cases = junit_cases(junit) if os.path.exists(junit) else []
        if status != 0 and not any(c.outcome == FAILED for c in cases):
            cases.append(Case(f"ctest {name}", FAILED, f"exit status {status}; its output ends:\n{tail(log)}"))
        return cases
    return run


def junit_cases(path):
    """ctest's report. A test that ctest could not start is a failure, whatever ctest calls it."""
    cases = []
    for test in ElementTree.parse(path).getroot().iter("testcase"):
        output = (test.findtext("system-out") or "").strip()
        status, skipped = test.get("status"), test.find("skipped")
        if status == "run":
            cases.append(Case(test.get("name"), PASSED))
        elif skipped is not None and ("SKIP_" in (skipped.get("message") or "")):
            cases.append(Case(test.get("name"), SKIPPED, skip_reason(output)))
        else:
            cases.append(Case(test.get("name"), FAILED, "\n".join(output.splitlines()[-40:]) or f"ctest says: {status}"))
    return cases


def skip_reason(output):
    """What a test said: the line after GoogleTest's "Skipped", or a script's last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for at, line in enumerate(lines):
        if line.endswith("Skipped") and at + 1 < len(lines):
            return lines[at + 1]
    return lines[-1] if lines else ""


def fuzz(context):
    """Every program in build/asan/tests/fuzz, on its kept corpus (build/fuzz-corpus) and the seeds in the tree."""
    folder = context.path("build", "asan", "tests", "fuzz")
    names = sorted(n for n in os.listdir(folder) if is_program(os.path.join(folder, n))) if os.path.isdir(folder) else []
    with ThreadPoolExecutor(context.cores) as pool:
        return list(pool.map(lambda n: fuzz_one(context, os.path.join(folder, n), n), names))


def is_program(path):
    return os.path.isfile(path) and os.access(path, os.X_OK)


def fuzz_one(context, program, name):
    corpus, seeds = context.path("build", "fuzz-corpus", name), context.path("tests", "fuzz", "corpus", name.removeprefix("fuzz_"))
    findings = context.path("build", "fuzz-findings", name) + "-"
    os.makedirs(corpus, exist_ok=True)
    os.makedirs(os.path.dirname(findings), exist_ok=True)
    seconds = FUZZ_SECONDS_LONG if context.long else FUZZ_SECONDS
    command = [program, f"-max_total_time={seconds}", f"-seed={context.seed}", "-rss_limit_mb=3000", "-timeout=10",
               "-print_final_stats=1", f"-artifact_prefix={findings}", corpus] + ([seeds] if os.path.isdir(seeds) else [])
    case = command_case(context, name, command, f"fuzz-{name}", SANITIZER_ENV, seconds * 4 + 120)
    if case.outcome == PASSED:
        with open(context.log_path(f"fuzz-{name}"), encoding="utf-8", errors="replace") as log:
            runs = [int(line.split()[-1]) for line in log if line.startswith("stat::number_of_executed_units")]
        if not runs or runs[-1] == 0:
            return Case(name, FAILED, "the target ended without a single run")
        case.detail = f"{runs[-1]} runs"
    return case


def tidy(context):
    """The tree, and the judges themselves."""
    own_tests = [command_case(context, name, [sys.executable, "-B", f"tests/tidy/{name}.py"]) for name in ("tidy_test", "runner_test")]
    return [command_case(context, "tools/tidy", ["tools/tidy"], "tidy")] + own_tests


def lab(context):
    """Real Xen under QEMU: the short list, or with --all every scenario."""
    if not os.path.exists(context.path("tests/xenlab/run")):
        return [Case("lab", SKIPPED, "tests/xenlab/run is not in this tree")]
    command = ["tests/xenlab/run"] + (["--all"] if context.long else LAB_SCENARIOS)
    status, log = run_logged(context, command, "lab", timeout_s=14400 if context.long else 1800)
    with open(log, encoding="utf-8", errors="replace") as lines:
        cases = lab_cases(lines)
    if status != 0 and not any(c.outcome == FAILED for c in cases):
        cases.append(Case("lab", FAILED, f"exit status {status}; its output ends:\n{tail(log)}"))
    return cases


def lab_cases(lines):
    """A scenario is a line "NAME  passed|failed|skipped  12.3 s"; the indented lines under it are the reason."""
    cases = []
    for line in lines:
        match = re.fullmatch(r"(\S+)\s+(passed|failed|skipped)\s+[\d.]+ s", line.strip())
        if match:
            cases.append(Case(match.group(1), match.group(2)))
        elif cases and line.startswith("    "):
            cases[-1].detail += line.strip() + "\n"
    return cases


STAGES = [
    Stage("tidy", "arrows, names, sizes, licences, links", tidy, quick=True),
    Stage("build-gcc", "g++, warnings are errors", ninja_build("gcc"), quick=True),
    Stage("unit", "unit tests", ctest("gcc", ["unit"]), ("build-gcc",), quick=True),
    Stage("model", "random ops against the model", ctest("gcc", ["model"]), ("build-gcc",), quick=True),
    Stage("crash", "cut arenas, kill -9 under load", ctest("gcc", ["crash"]), ("build-gcc",), quick=True),
    Stage("e2e", "the programs together, and bad input", ctest("gcc", ["e2e"]), ("build-gcc",), quick=True),
    Stage("build-asan", "clang++ with ASan and UBSan, fuzz targets", ninja_build("asan")),
    Stage("asan", "all tests under ASan and UBSan", ctest("asan", ["unit", "model", "crash", "e2e"], 10), ("build-asan",)),
    Stage("fuzz", f"every fuzz target, {FUZZ_SECONDS} s each ({FUZZ_SECONDS_LONG} s with --all)", fuzz, ("build-asan",)),
    Stage("build-tsan", "clang++ with TSan, concurrent tests", ninja_build("tsan", "tmem_tests")),
    Stage("tsan", "the concurrent tests under TSan", ctest("tsan", ["unit", "model", "crash", "e2e"], 10), ("build-tsan",)),
    Stage("kernel", "the guest module against kernel headers", ctest("gcc", ["kernel"], serial=True), ("build-gcc",)),
    Stage("lab", "real Xen, dom0 and guests under QEMU", lab, ("build-gcc",)),
]


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tools/test", description="Build everything, test everything, say what passed.")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--quick", action="store_true", help="a developer's loop: g++ only, short random tests, no fuzzing, no lab")
    how.add_argument("--all", action="store_true", help="add the long rounds: millions of model ops, 1000 crash rounds, "
                     "minutes of fuzzing, every lab scenario")
    parser.add_argument("--stage", action="append", metavar="NAME", help="only this stage and the builds that it needs; repeatable")
    parser.add_argument("--seed", type=int, help="seed of the random tests (printed by every run)")
    parser.add_argument("--list", action="store_true", help="list the stages")
    options = parser.parse_args(arguments)
    names = [s.name for s in STAGES]
    for name in options.stage or []:
        if name not in names:
            parser.error(f"no stage '{name}'; there are: {', '.join(names)}")
    return options


def chosen(options):
    if not options.stage:
        return [s for s in STAGES if s.quick or not options.quick]
    wanted = set(options.stage)
    wanted.update(n for s in STAGES if s.name in wanted for n in s.needs)
    return [s for s in STAGES if s.name in wanted]


def main():
    options = parse(sys.argv[1:])
    if options.list:
        for stage in STAGES:
            print(f"{stage.name:12} {stage.what}{' (also with --quick)' if stage.quick else ''}")
        return 0
    seed = options.seed if options.seed is not None else random.randrange(1, 2**31)
    top = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
    context = Context(top, options.all, options.quick, seed)
    print(f"seed {seed} (again with --seed {seed}), {context.cores} cores, logs in build/logs", flush=True)
    return summary(run_stages(context, chosen(options)))


if __name__ == "__main__":
    sys.exit(main())
