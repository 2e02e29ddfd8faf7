# SPDX-License-Identifier: MIT
"""Names: a prefix per C layer, CamelCase types and kCamel constants in C++, snake_case files."""
import os
import re

from . import policy
from .source import Finding

_C_FUNCTION = re.compile(r"^(?:static\s+)?(?:inline\s+)?(?:const\s+)?(?:struct\s+)?\w+[\s*]+(\w+)\s*\((?!\*)[^;]*$")
_TYPE = re.compile(r"^\s*(?:template\s*<.*>\s*)?(?:class|struct|union|enum(?:\s+class)?)\s+(\w+)\s*(?:final\s*)?(?:[:{]|$)")
_CONSTANT = re.compile(r"^(?:inline\s+|static\s+)*constexpr\s+(?:[\w:]+(?:<[^=]*>)?)\s+(\w+)\s*(?:=|\{)")


def c_prefixes(files):
    for f in files:
        prefixes = next((p for path, p in policy.C_PREFIXES if f.path.startswith(path) and f.path.endswith(".h")), None)
        if prefixes is None:
            continue
        for number, line in enumerate(f.code.splitlines(), 1):
            match = _C_FUNCTION.match(line)
            if match and not match.group(1).startswith(prefixes) and match.group(1) not in ("defined",):
                yield Finding(f.path, number, f"function {match.group(1)}", f"names here begin with {' or '.join(prefixes)}",
                              "rename it: C has one namespace")


def cpp_names(files):
    for f in files:
        if not f.path.startswith("hypervisor-tmem/") or not f.is_c:
            continue
        for number, line in enumerate(f.code.splitlines(), 1):
            match = _TYPE.match(line)
            # an ABI struct of proto/ that is only mentioned keeps its C name
            if match and not re.fullmatch(r"[A-Z][A-Za-z0-9]*", match.group(1)) and not match.group(1).startswith(("tmem", "epoll", "sockaddr", "iovec", "xen", "xs")):
                yield Finding(f.path, number, f"type {match.group(1)}", "types are CamelCase", "rename it")
            match = _CONSTANT.match(line)
            if match and not re.fullmatch(r"k[A-Z0-9]\w*", match.group(1)):
                yield Finding(f.path, number, f"constant {match.group(1)}", "constants are kCamel", "rename it")


def file_names(files):
    for f in files:
        name = os.path.basename(f.path)
        is_scenario = "/scenarios/" in f.path  # named as people call it
        if f.path.endswith((".c", ".h", ".cc", ".py")) and not is_scenario and not re.fullmatch(r"[a-z][a-z0-9_]*\.\w+|__\w+__\.py", name):
            yield Finding(f.path, 1, f"file name {name}", "source files are snake_case", "rename it")
        if f.path.endswith(".h") and f.path.startswith("hypervisor-tmem/") and "#pragma once" not in f.text:
            yield Finding(f.path, 1, "no #pragma once", "a header may be included twice", "add it after the head comment")
