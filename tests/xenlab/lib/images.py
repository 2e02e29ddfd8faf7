# SPDX-License-Identifier: MIT
"""initramfs images: a set of files (path in the image -> content) packed as a gzipped newc archive, cached by content.

An Image is filled by `add` (any file), `program` (an executable with every library it links to) and `module` (a kernel module,
loaded by /init in the order added). Scenarios add what they need of their own by the same three calls.
"""

import lzma
import subprocess
import sys
from pathlib import Path

from .base import CACHE, LAB, LabError, call, digest, publish

sys.path.append(str(LAB.parent.parent / "tools/lib"))
import newc  # pylint: disable=wrong-import-position,wrong-import-order

BUSYBOX = "/bin/busybox"
CANCEL_LIBRARY = "/lib/x86_64-linux-gnu/libgcc_s.so.1"     # pthread_cancel loads it by name, so ldd does not tell of it
XEN_TOOLS = "/usr/lib/xen-4.17"
DIRECTORIES = ["bin", "sbin", "dev", "proc", "sys", "run", "tmp", "root", "mod", "etc"]

INIT = """#!/bin/sh
/bin/busybox --install -s /bin
export PATH=/sbin:/usr/sbin:/bin:/usr/bin:{tools}/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /var && mount -t devpts devpts /dev/pts
mount -t tmpfs run /run
ln -sfn /run /var/run
while read -r module; do insmod /mod/$module || echo "init: cannot load $module"; done </mod/order
{steps}
exec /bin/agent {terminal}
"""


def libraries(program):
    """Every shared library a program needs, as the dynamic linker finds them on this machine."""
    listing = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    if "not found" in listing:
        raise LabError(f"{program} links to a library that is not installed:\n{listing}")
    return [word for line in listing.splitlines() for word in line.split() if word.startswith("/")]


def agent():
    """The agent, linked statically so that it needs nothing of an image."""
    return compile_program(LAB / "agent" / "agent.c", ["-static"])


def compile_program(source, flags=()):
    """Builds one C file; the result is cached by its source, the headers beside it and the flags."""
    flags = ["-O2", "-g", "-Wall", "-Wextra", "-Wshadow", "-Werror", *flags]
    read = [source, *sorted(source.parent.glob("*.h"))]
    target = CACHE / "programs" / f"{source.stem}-{digest(*[path.read_bytes() for path in read], flags, call('gcc', '--version'))}"
    if not target.exists():
        publish(target, lambda path: call("gcc", source, "-o", path, *flags))
    return target


class Image:
    """Files of one initramfs. Nothing is written before pack()."""

    def __init__(self):
        self._files = {}
        self._order = []
        self.program(BUSYBOX)
        self.add("/bin/sh", link="busybox")
        self.program(agent(), "/bin/agent")
        for name in ("poweroff", "reboot"):                 # the kernel calls them by these paths
            self.add(f"/sbin/{name}", link="/bin/busybox")

    def add(self, path, content=b"", mode=0o644, link=None):
        """A file with this content (bytes, text, or the Path of a file here), or a symbolic link."""
        if isinstance(content, Path):
            content, mode = content.read_bytes(), content.stat().st_mode & 0o777
        data = link.encode() if link else content.encode() if isinstance(content, str) else content
        self._files[path.strip("/")] = (0o120777 if link else 0o100000 | mode, data)
        return self

    def program(self, source, path=None):
        """An executable or library of this machine, with all it links to; at the same path unless told another."""
        self.add(path or str(source), Path(source))
        needed = libraries(source)
        for library in [*needed, *([CANCEL_LIBRARY] if needed else [])]:
            self.add(library, Path(library).resolve())
        return self

    def module(self, source, parameters=""):
        """A kernel module for /init to load; a compressed one is unpacked here, as busybox loads only plain ones."""
        source = Path(source)
        name = source.name.removesuffix(".xz")
        line = f"{name} {parameters}".strip()
        if line not in self._order:
            self._order.append(line)
            self.add(f"/mod/{name}", lzma.decompress(source.read_bytes()) if source.suffix == ".xz" else source.read_bytes())
        return self

    def init(self, terminal, steps=""):
        return self.add("/init", INIT.format(terminal=terminal, steps=steps, tools=XEN_TOOLS), 0o755)

    def pack(self):
        """The archive's path in the cache."""
        self.add("/mod/order", "".join(f"{name}\n" for name in self._order))
        ordered = newc.with_parents(self._files, DIRECTORIES)
        name = digest(*[part for path, (mode, data) in ordered for part in (path, mode, data)])
        target = CACHE / "images" / f"{name}.img"
        return target if target.exists() else publish(target, lambda path: newc.write(path, ordered))
