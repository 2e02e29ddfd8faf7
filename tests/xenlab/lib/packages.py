# SPDX-License-Identifier: MIT
"""Xen, kernels and tools from Debian packages.

Tools are installed with apt when missing. The hypervisor and the kernels are only downloaded and unpacked below the cache, so
that this machine's own boot stays as it is. The mirror is the one that the machine's apt is configured for, also for the older
suite that the 5.10 kernel comes from.
"""

import os
import shutil
import subprocess
import time

from .base import CACHE, LabError, Skip, call, digest, publish

TOOLS = ["qemu-system-x86", "busybox-static", "kmod", "gcc", "libc6-dev", "libxen-dev", "xen-utils-4.17", "xenstore-utils"]
XEN = "xen-hypervisor-4.17-amd64"
DOM0_KERNEL = "linux-image-amd64"
GUEST_KERNELS = {"6.1": "linux-image-cloud-amd64", "6.12": "linux-image-6.12-cloud-amd64", "5.10": "linux-image-cloud-amd64"}
OLD_SUITE = {"5.10": "bullseye"}
DAY = 24 * 3600


def _root(*command):
    call(*([] if os.geteuid() == 0 else ["sudo", "-n"]), *command, "-o", "DPkg::Lock::Timeout=300", env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def _see_mirror():
    if subprocess.run(["apt-cache", "show", XEN], capture_output=True, check=False).returncode != 0:
        _root("apt-get", "update", "-q")
    return "seen"


def ensure_tools(*more):
    """Installs what the lab, or a scenario with more, runs on this machine; asks for nothing when all is there."""
    tools = [*TOOLS, *more]
    have = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n", *tools], capture_output=True, text=True, check=False)
    present = {line.split()[1] for line in have.stdout.splitlines() if line.startswith("installed ")}
    missing = [name for name in tools if name not in present]
    if missing:
        _root("apt-get", "update", "-q")
        _root("apt-get", "install", "-qy", "--no-install-recommends", *missing)
    else:
        _remembered("mirror", _see_mirror)


def _remembered(question, ask):
    """What apt said of this in the last day: it reads its lists for seconds each time."""
    place = CACHE / "apt" / "answers" / question
    if not place.exists() or time.time() - place.stat().st_mtime > DAY:
        answer = ask()
        publish(place, lambda path: path.write_text(answer))
    return place.read_text()


def _old_suite_options(suite):
    """apt options that see one other suite of the configured mirror, for one call; lists of their own below the cache."""
    place = CACHE / "apt" / suite
    sources = place / "sources.list"
    options = ["-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=/dev/null", "-o", f"Dir::State::Lists={place}/lists",
               "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]
    if not (place / "lists").exists():
        targets = call("apt-get", "indextargets", "--format", "$(ORIGIN)|$(CREATED_BY)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)")
        lines = set()
        for target in targets.splitlines():
            origin, kind, uri, release, component = target.split("|")
            if origin == "Debian" and kind == "Packages" and component == "main" and release.partition("-")[2] in ("", "security"):
                release = "-".join([suite, *release.split("-")[1:]])
                lines.add(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {uri} {release} main\n")
        lists = place / "lists.new"
        shutil.rmtree(lists, ignore_errors=True)
        (lists / "partial").mkdir(parents=True)
        sources.write_text("".join(sorted(lines)))
        call("apt-get", *options, "-o", f"Dir::State::Lists={lists}", "update", "-q", "--error-on=any")
        lists.rename(place / "lists")
    return options


def _concrete(meta, options):
    """The versioned package behind a meta package."""
    def ask():
        names = [line.split()[1] for line in call("apt-cache", *options, "depends", meta).splitlines() if "Depends: linux-image-" in line]
        if not names:
            raise LabError(f"{meta} depends on no kernel")
        return names[0]

    return _remembered(digest("concrete", meta, *options), ask)


def _unpack(package, options=()):
    """The tree of a package below the cache, downloaded once per version."""
    def ask():
        records = call("apt-cache", *options, "show", "--no-all-versions", package).splitlines()
        return next(line.split()[1] for line in records if line.startswith("Version:"))

    version = _remembered(digest("version", package, *options), ask)
    tree = CACHE / "packages" / f"{package}_{version}".replace(":", "%3a")
    if tree.exists():
        return tree
    building = tree.with_name(f"{tree.name}.{os.getpid()}")
    building.mkdir(parents=True)
    call("apt-get", *options, "-q", "download", f"{package}={version}", cwd=building)
    for deb in building.glob("*.deb"):
        call("dpkg", "-x", deb, building / "root")
        deb.unlink()
    for modules in (building / "root/lib/modules").glob("*"):
        call("/sbin/depmod", "-b", building / "root", modules.name)
    try:
        (building / "root").rename(tree)
    except OSError:
        if not tree.exists():
            raise
    shutil.rmtree(building, ignore_errors=True)
    return tree


class Kernel:
    """An unpacked kernel package: its image and its modules with what they depend on."""

    def __init__(self, tree):
        self.image = next((tree / "boot").glob("vmlinuz-*"))
        self.release = self.image.name.removeprefix("vmlinuz-")
        self._modules = tree / "lib/modules" / self.release

    def _dependencies(self):
        table = {}
        for line in (self._modules / "modules.dep").read_text().splitlines():
            path, _, needs = line.partition(":")
            table[path.split("/")[-1].split(".ko")[0].replace("_", "-")] = (path, needs.split())
        return table

    def modules(self, names):
        """Files of the named modules and all they need, in the order to load them. Built-in ones are left out."""
        table, ordered = self._dependencies(), []
        built_in = {line.split("/")[-1].split(".ko")[0].replace("_", "-") for line in (self._modules / "modules.builtin").read_text().split()}
        for name in names:
            key = name.replace("_", "-")
            if key in built_in:
                continue
            if key not in table:
                raise LabError(f"kernel {self.release} has no module {name}")
            path, needs = table[key]
            ordered += [self._modules / item for item in [*reversed(needs), path]]
        return list(dict.fromkeys(ordered))


def hypervisor():
    return next((_unpack(XEN) / "boot").glob("xen-4.17-amd64.gz"))


def dom0_kernel():
    return Kernel(_unpack(_concrete(DOM0_KERNEL, ())))


def source(series, package):
    """The archive of a kernel's source package; a mirror without it skips the scenario."""
    try:
        options = _old_suite_options(OLD_SUITE[series])
        return next((_unpack(package, options) / "usr/src").glob("*.tar.xz"))
    except (LabError, StopIteration) as error:
        raise Skip(f"no {package} on the mirror: {error}") from error


def guest_kernel(series):
    """The guest kernel of a series ("6.1"). One that the mirror does not have skips the scenario."""
    try:
        options = _old_suite_options(OLD_SUITE[series]) if series in OLD_SUITE else []
        return Kernel(_unpack(_concrete(GUEST_KERNELS[series], options), options))
    except LabError as error:
        raise Skip(f"no {series} kernel from this machine's mirror: {str(error).splitlines()[-1]}") from error
