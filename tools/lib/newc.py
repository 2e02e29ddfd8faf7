# SPDX-License-Identifier: MIT
"""initramfs archives: gzipped newc, the same bytes for the same files."""

import gzip


def with_parents(files, directories=()):
    """Sorted (path, (mode, data)) entries: the files and directories, and every directory above them."""
    entries = dict(files)
    for path in [*directories, *[name.rpartition("/")[0] for name in files]]:
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            entries.setdefault("/".join(parts[:depth]), (0o040755, b""))
    return sorted(entries.items())


def write(path, entries, level=1):
    """Entries as of with_parents(). No time, no owner but root, so that the bytes depend on the entries alone."""
    with open(path, "wb") as file, gzip.GzipFile("", "wb", compresslevel=level, fileobj=file, mtime=0) as archive:
        for number, (name, (mode, data)) in enumerate([*entries, ("TRAILER!!!", (0, b""))], 1):
            fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
            head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
            archive.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))
