# SPDX-License-Identifier: MIT
"""What a scenario is given: it boots the machine, describes guests, checks. One Lab per run of a scenario."""

from pathlib import Path

from . import dom0, guest, packages
from .base import LAB, LabError, Skip, digest, publish, CACHE
from .guest import Guest
from .images import compile_program
from .machine import Disk, Machine

XEN_LIBRARIES = ["-lxengnttab", "-lxenevtchn", "-lxenstore"]
PROGRAMS = LAB / "programs"


class Lab:
    """The lab as a scenario sees it."""

    Disk = Disk

    def __init__(self, out):
        self.out = out
        self.machine = None

    # --- the machine ---------------------------------------------------------------------------------------------------------

    def boot(self, store="c", label="", programs=(), customize=None, drain=True, **machine):
        """Boots Xen and dom0 and starts the chosen xenstore daemon; returns dom0.

        `programs` (of tests/xenlab/programs, or paths) go to dom0's /bin; `customize` is called with dom0's Image and may add
        anything to it. A scenario that boots more than once labels each boot, as a folder for its logs. The rest (memory,
        dom0_memory, disks, xen_options) is the Machine's.
        """
        self.stop()
        packages.ensure_tools()
        kernel = packages.dom0_kernel()
        image = dom0.image(kernel)
        self._fill(image, programs, customize)
        out = self.out / label
        out.mkdir(exist_ok=True)
        self.machine = Machine(out, image.pack(), kernel, **machine)
        if drain:
            self.machine.drain_console()
        self.machine.wait_ready()
        self.machine.dom0.start_xen(store)
        return self.machine.dom0

    @property
    def dom0(self):
        return self.machine.dom0

    def stop(self):
        if self.machine:
            self.machine.stop()

    def last_words(self):
        """Has every guest say on its console what it waits for and what memory it has: for whoever reads why a scenario failed."""
        try:
            for name in self.dom0.domains() if self.machine else ():
                for key in "mw" if name != "Domain-0" else "":
                    self.dom0.xl(f"sysrq {name} {key}", timeout=30, check=False)
                    self.dom0.run("sleep 2", timeout=30)
        except LabError:
            pass    # dom0 does not answer either

    # --- domains -------------------------------------------------------------------------------------------------------------

    def kernel(self, series):
        """A guest kernel; where it cannot be had the scenario is skipped."""
        packages.ensure_tools()
        return packages.guest_kernel(series)

    def guest(self, name="g1", kernel="6.1", modules=(), programs=(), customize=None, **options):
        """Describes a guest (see Guest for the options); create() starts it. Programs and customize are as in boot()."""
        chosen = self.kernel(kernel) if isinstance(kernel, str) else kernel
        image = guest.image(chosen, modules)
        self._fill(image, programs, customize)
        return Guest(self.machine, name, self._shared(chosen.image), image.pack(), **options)

    def tmem_domain(self, kernel, initrd, name="tmem", memory=512, **options):
        """Describes a domain with a kernel and an initramfs built elsewhere. It has no agent: create(wait=False)."""
        return Guest(self.machine, name, self._shared(kernel), self._shared(initrd), memory=memory, **options)

    def _fill(self, image, programs, customize):
        for program in programs:
            path = Path(program) if "/" in str(program) else self.program(program)
            image.program(path, f"/bin/{Path(program).name}")
        if customize:
            customize(image)

    @staticmethod
    def _shared(path):
        """The file, or a copy of it, where dom0 can see it: below the cache."""
        path = Path(path).resolve()
        if path.is_relative_to(CACHE.resolve()):
            return CACHE / path.relative_to(CACHE.resolve())
        data = path.read_bytes()
        target = CACHE / "images" / f"{path.name}-{digest(data)}"
        return target if target.exists() else publish(target, lambda place: place.write_bytes(data))

    @staticmethod
    def program(name):
        """The built program of tests/xenlab/programs/NAME.c, linked with Xen's stable libraries."""
        return compile_program(PROGRAMS / f"{name}.c", XEN_LIBRARIES)

    # --- judging -------------------------------------------------------------------------------------------------------------

    @staticmethod
    def expect(condition, message):
        if not condition:
            raise LabError(message)

    @staticmethod
    def equal(got, wanted, what):
        if got != wanted:
            raise LabError(f"{what}: got {got!r}, expected {wanted!r}")

    @staticmethod
    def skip(reason):
        raise Skip(reason)
