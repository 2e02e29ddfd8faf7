#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns the tables of docs/abi.md into static asserts: abi_tables.py docs/abi.md > asserts.h

A table under a heading "### `struct NAME`" has offset, bytes and field in its first columns; the line "Size: N." ends the
struct. A table row that starts with a number and a `TMEM...` name is a value. The specification wins over the header, and
this is how: a header that differs does not compile.
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


def main():
    with open(sys.argv[1], encoding="utf-8") as page:
        conditions = list(asserts(page.read()))
    fields = sum("offsetof" in c for c in conditions)
    values = sum(c.startswith("TMEM") for c in conditions)
    if fields < 40 or values < 34:
        sys.exit(f"{sys.argv[1]}: only {fields} fields and {values} values found; were the tables changed?")
    print("/* SPDX-License-Identifier: MIT */\n/* Made of docs/abi.md by abi_tables.py. */")
    for condition in conditions:
        print(f"TMEMIF_STATIC_ASSERT({condition});")


if __name__ == "__main__":
    main()
