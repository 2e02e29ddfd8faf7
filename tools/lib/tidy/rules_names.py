# SPDX-License-Identifier: MIT
"""Names: a prefix per C layer, CamelCase types, kCamel constants, snake_case functions and files, members_; whose words where."""
import os
import re

from . import policy
from .source import Finding, plain_c, private_members

_C_FUNCTION = re.compile(r"^(?:static\s+)?(?:inline\s+)?(?:const\s+)?(?:struct\s+)?\w+[\s*]+(\w+)\s*\((?!\*)[^;]*$")
_TYPE = re.compile(r"^\s*(?:template\s*<.*>\s*)?(?:class|struct|union|enum(?:\s+class)?)\s+(\w+)\s*(?:final\s*)?(?:[:{]|$)")
_TYPE_NAME = re.compile(r"\b(?:class|struct|union)\s+([A-Z]\w*)")
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


def functions(files):
    types = {name for f in files if f.is_c for name in _TYPE_NAME.findall(plain_c(f.code))}
    for f in files:
        for name, line, _ in f.functions() if f.is_c else ():
            # constructors are named as their types, tests as sentences, macros in capitals
            if not re.fullmatch(r"[a-z_][a-z0-9_]*|[A-Z][A-Z0-9_]*|operator.*|~.*|.*\..*", name) and name not in types | policy.FOREIGN_FUNCTIONS:
                yield Finding(f.path, line, f"function {name}", "functions are snake_case", "rename it")


def members(files):
    for f in files:
        for line, name in private_members(f.code) if f.path.endswith((".h", ".cc")) else ():
            if not name.endswith("_"):
                yield Finding(f.path, line, f"private member {name}", "members end in _", "rename it, or make it public in a struct")


def linux_words(files):
    for f in files:
        if not f.is_c or not f.path.startswith(policy.LINUX_WORDS_BANNED) or f.path.startswith(policy.LINUX_WORDS_ALLOWED):
            continue
        for number, line in enumerate(f.code.splitlines(), 1):
            for word in policy.LINUX_WORDS.findall(line):
                yield Finding(f.path, number, f"Linux's word '{word}'", "they stand only where Linux's hooks are translated (hook*.c, hook*.h)",
                              "the field's word: put, get, flush, page (docs/GLOSSARY.md)")


def file_names(files):
    for f in files:
        name = os.path.basename(f.path)
        is_scenario = "/scenarios/" in f.path  # named as people call it
        if f.path.endswith((".c", ".h", ".cc", ".py")) and not is_scenario and not re.fullmatch(r"[a-z][a-z0-9_]*\.\w+|__\w+__\.py", name):
            yield Finding(f.path, 1, f"file name {name}", "source files are snake_case", "rename it")
        if f.path.endswith(".h") and f.path.startswith("hypervisor-tmem/") and "#pragma once" not in f.text:
            yield Finding(f.path, 1, "no #pragma once", "a header may be included twice", "add it after the head comment")
