#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns the tables of docs/abi.md into static asserts: abi_tables.py docs/abi.md guest-shim/core/tmem_front.c > asserts.h

A table under a heading "### `struct NAME`" has offset, bytes and field in its first columns; the line "Size: N." ends the
struct. A table row that starts with a number and a `TMEM...` name is a value. The specification wins over the header, and
this is how: a header that differs does not compile.

What an op may answer is compared with the table that the front has of it.
"""
import re
import sys


def asserts(text):
    struct = None
    for line in text.splitlines():
        heading = re.match(r"#+ (.*)", line)
        if heading:
            named = re.match(r"`struct (\w+)`", heading[1])
            struct = named[1] if named else None
            continue
        size = re.match(r"Size: (\d+)\.", line)
        if size and struct:
            yield f"sizeof(struct {struct}) == {size[1]}"
            continue
        field = re.match(r"\| (\d+) \| (\d+) \| `(\w+)` \|", line)
        if field and struct:
            offset, count, name = field.groups()
            yield f"offsetof(struct {struct}, {name}) == {offset}"
            yield f"sizeof(((struct {struct} *)0)->{name}) == {count}"
            continue
        value = re.match(r"\| (\d+) \| `(TMEM\w+)` \|", line)
        if value:
            yield f"{value[2]} == {value[1]}"


def specified(text):
    """The statuses of each op, by the table of the page."""
    table = re.search(r"\| op \| also \|\n\|[ -|]*\|\n((?:\|.*\|\n)+)", text)[1]
    may = {}
    for op, also in re.findall(r"\| `(\w+)` \| (.*)\|", table):
        may[op] = {"OK", "BAD_REQUEST", *re.findall(r"`([A-Z_]+)`", also)} - {"CREDIT"}
        for other in re.findall(r"as `(\w+)`", also):
            may[op] |= may[other]
    return may


def coded(text):
    """The same by the front's source."""
    macros = dict(re.findall(r"#define (MAY_\w+) (.*)", text))
    table = re.search(r"plausible\[.*?\] = \{\n(.*?)\n\};", text, re.DOTALL)[1]
    for name, body in macros.items():
        table = table.replace(name, body)
    rows = re.findall(r"\[TMEMIF_OP_(\w+)\] = (.*?),(?=\n\t\[|\Z)", table, re.DOTALL)
    return {op.lower(): set(re.findall(r"MAY\((\w+)\)", row)) for op, row in rows}


def main():
    with open(sys.argv[1], encoding="utf-8") as page, open(sys.argv[2], encoding="utf-8") as front:
        text = page.read()
        want, have = specified(text), coded(front.read())
    conditions = list(asserts(text))
    if len(want) != 9 or want != have:
        different = {op: want.get(op, set()) ^ have.get(op, set()) for op in want.keys() | have.keys()}
        sys.exit(f"{sys.argv[1]} and {sys.argv[2]} differ in what an op may answer: {different}")
    fields = sum("offsetof" in c for c in conditions)
    values = sum(c.startswith("TMEM") for c in conditions)
    if fields < 40 or values < 34:
        sys.exit(f"{sys.argv[1]}: only {fields} fields and {values} values found; were the tables changed?")
    print("/* SPDX-License-Identifier: MIT */\n/* Made of docs/abi.md by abi_tables.py. */")
    for condition in conditions:
        print(f"TMEMIF_STATIC_ASSERT({condition});")


if __name__ == "__main__":
    main()
