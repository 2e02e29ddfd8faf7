# SPDX-License-Identifier: MIT
"""Rules over single files: licence line, banned words and calls, lengths."""
import re

from . import policy
from .source import Finding


def spdx(files):
    for f in files:
        if f.binary or not f.lines or f.path.startswith(policy.NO_SPDX_PREFIXES) or f.path.endswith(policy.NO_SPDX_SUFFIXES):
            continue
        wanted = next(licences for prefix, suffixes, licences in policy.LICENCES
                      if f.path.startswith(prefix) and (not suffixes or f.path.endswith(suffixes)))
        found = None
        for number, line in enumerate(f.lines[:5], 1):
            match = re.search(r"SPDX-License-Identifier:\s*(.*?)\s*(\*/|-->)?\s*$", line)
            if match:
                found = (number, match.group(1))
                break
        if not found:
            yield Finding(f.path, 1, "no SPDX line", "each file says its licence", f"add SPDX-License-Identifier: {wanted[0]}")
        elif found[1] not in wanted:
            yield Finding(f.path, found[0], f"licence '{found[1]}'", f"this folder is {' or '.join(wanted)}",
                          "change the line, or move the file")


def words(files):
    pattern = re.compile(r"\b(" + "|".join(policy.WORDS_BANNED) + r")\b")
    for f in files:
        if f.path.startswith(policy.NO_SPDX_PREFIXES):
            continue
        for number, line in enumerate(f.lines, 1):
            match = pattern.search(line)
            if match:
                yield Finding(f.path, number, f"'{match.group(0)}'", "unfinished work is not merged",
                              "finish it, or write an issue and say the limit in the README")


def calls(files):
    for f in files:
        if not f.is_c:
            continue
        lines = f.code.splitlines()
        for prefixes, pattern, why, instead in policy.CALLS_BANNED:
            if not f.path.startswith(prefixes):
                continue
            for number, line in enumerate(lines, 1):
                match = re.search(pattern, line)
                if match:
                    yield Finding(f.path, number, f"'{match.group(0).strip()}'", why, f"use {instead}")


def file_length(files):
    for f in files:
        if f.is_source and len(f.lines) > policy.FILE_LINES_MAX and f.path not in policy.LONG_FILES:
            yield Finding(f.path, len(f.lines), f"{len(f.lines)} lines", f"a file has at most {policy.FILE_LINES_MAX}",
                          "split it by subject, or name it in policy.LONG_FILES with the reason")
    known = {f.path: len(f.lines) for f in files}
    for path in policy.LONG_FILES:
        if known.get(path, 0) <= policy.FILE_LINES_MAX:
            yield Finding(path, 1, "exception without need", "LONG_FILES names it", "remove it from tools/lib/tidy/policy.py")


def function_length(files):
    used = set()
    for f in files:
        for name, line, length in f.functions():
            if length <= policy.FUNCTION_LINES_MAX:
                continue
            if (f.path, name) in policy.LONG_FUNCTIONS:
                used.add((f.path, name))
                continue
            yield Finding(f.path, line, f"{name} has {length} lines", f"a function has at most {policy.FUNCTION_LINES_MAX}",
                          "give its parts names, or name it in policy.LONG_FUNCTIONS with the reason")
    for path, name in policy.LONG_FUNCTIONS:
        if (path, name) not in used:
            yield Finding(path, 1, f"exception for {name} without need", "LONG_FUNCTIONS names it",
                          "remove it from tools/lib/tidy/policy.py")
