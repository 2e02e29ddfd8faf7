# SPDX-License-Identifier: MIT
"""The command line of tools/tidy: run the rules, print file:line: what; why; what to do."""
import argparse
import os

from . import rules_arrows, rules_docs, rules_names, rules_text
from .source import tree

RULES = {
    "spdx": rules_text.spdx,
    "words": rules_text.words,
    "calls": rules_text.calls,
    "file-length": rules_text.file_length,
    "function-length": rules_text.function_length,
    "arrows": rules_arrows.arrows,
    "c-prefixes": rules_names.c_prefixes,
    "cpp-names": rules_names.cpp_names,
    "functions": rules_names.functions,
    "members": rules_names.members,
    "linux-words": rules_names.linux_words,
    "file-names": rules_names.file_names,
    "readmes": rules_docs.readmes,
    "links": rules_docs.links,
}


def main(arguments):
    parser = argparse.ArgumentParser(prog="tools/tidy", description="Check arrows, names, sizes, licences and links of the tree.")
    parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", ".."),
                        help="the tree to look at (default: this one)")
    parser.add_argument("--rule", action="append", choices=sorted(RULES), help="only this rule; repeatable")
    parser.add_argument("--help-of", nargs="+", metavar="PROGRAM", help="instead: is every option of these programs documented?")
    options = parser.parse_args(arguments)
    files = tree(os.path.realpath(options.root))
    if options.help_of:
        findings = list(rules_docs.documented(files, options.help_of))
    else:
        findings = [f for name, rule in RULES.items() if not options.rule or name in options.rule for f in rule(files)]
    for finding in sorted(findings, key=lambda f: (f.warning, f.path, f.line)):
        print(finding)
    errors = sum(1 for f in findings if not f.warning)
    print(f"tidy: {len(files)} files, {errors} findings, {len(findings) - errors} warnings")
    return 1 if errors else 0
