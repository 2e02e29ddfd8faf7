# SPDX-License-Identifier: MIT
"""Guest kernels that Debian does not build, from Debian's source package: with both hooks, cleancache and frontswap; and such
a kernel that watches itself.

Everything is built in, so the kernel has no modules but ours. Built once for each content (package version, options, compiler) below
the cache; some minutes on two quiet cores. What building needs is installed with apt.
"""

import os
import shutil
import subprocess

from . import packages
from .base import CACHE, LAB, LabError, call, digest

NEEDED = ["bc", "bison", "build-essential", "flex", "libelf-dev", "libssl-dev", "xz-utils"]
SOURCES = {"5.10": "linux-source-5.10"}


class BuiltKernel:
    """As packages.Kernel: an image, and no modules because all is built in."""

    def __init__(self, tree):
        self.image, self.tree = tree / "vmlinux", tree
        self.release = (tree / "include/config/kernel.release").read_text().strip()

    @staticmethod
    def modules(_names):
        return []


def hooks_kernel(series="5.10", debug=False):
    """A kernel of the series that has frontswap and cleancache; with lock and memory debugging if wanted."""
    packages.ensure_tools(*NEEDED)
    config = b"".join((LAB / "kernels" / f"{series}-{part}.config").read_bytes() for part in ["hooks", *(["debug"] if debug else [])])
    source = packages.source(series, SOURCES[series])
    compiler = call("gcc", "--version").splitlines()[0]
    tree = CACHE / "kernels" / digest(source.parent.parent.parent.name, config, compiler)
    if not (tree / "built").exists():
        _build(source, config, tree)
    return BuiltKernel(tree)


def _build(source, config, tree):
    if not (tree / "unpacked").exists():    # else make goes on where it was ended
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
        call("tar", "--strip-components=1", "-C", tree, "-xf", source)
        (tree / "unpacked").touch()
    (tree / "lab.config").write_bytes(config)
    _make(tree, "allnoconfig", "KCONFIG_ALLCONFIG=lab.config")
    _make(tree, f"-j{os.cpu_count()}", "vmlinux", "modules")
    call("strip", "-o", tree / "vmlinux.stripped", tree / "vmlinux")
    (tree / "vmlinux.stripped").rename(tree / "vmlinux")
    (tree / "built").touch()


def _make(tree, *words):
    done = subprocess.run(["make", "-s", "-C", tree, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"the guest kernel does not build ({' '.join(words)}):\n{done.stderr[-2000:]}")


def module(kernel, out):
    """tmem.ko for a built kernel. Without W=1: in a kernel as small as this its own headers have warnings then."""
    built = subprocess.run([LAB.parent / "kernel/build-module", kernel.tree, out / "module-hooks", "W="], capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise LabError(f"the module does not build for {kernel.release}:\n{built.stderr[-2000:]}")
    return built.stdout.strip().splitlines()[-1]
