# SPDX-License-Identifier: MIT
"""Files are sorted in a guest that has memory for neither the sort nor the files: the same result, and less of the disks with tmem; 5.10."""

from lib import hooks, kernels, tmem

SORT = "/usr/bin/sort"
# More text than the page cache can keep, sorted in more memory than the guest has.
WRITE = "for n in 0 1 2 3 4 5 6 7; do dd if=/dev/urandom bs=64k count=34 2>/dev/null | base64 >/files/$n.txt || exit 1; done; sync"
JOB = f"set -o pipefail; cd /files; LC_ALL=C {SORT} -S 44M --parallel=1 *.txt | md5sum; grep -c xen *.txt | md5sum; cat *.txt | md5sum"
DISKS = ("xvda", "xvdb")


def customize(image):
    image.program(SORT, "/usr/bin/sort")


def run(guest):
    """The job's results, and the sectors that it read and wrote: files and swap together."""
    guest.run(JOB, timeout=900)         # once for everything to be where it is in the long run
    before = [hooks.sectors(guest, disk) for disk in DISKS]
    sums = guest.run(JOB, timeout=900).out
    after = [hooks.sectors(guest, disk) for disk in DISKS]
    return sums, sum(new[0] - old[0] for new, old in zip(after, before)), sum(new[1] - old[1] for new, old in zip(after, before))


def scenario(lab):
    kernel = kernels.hooks_kernel()
    dom0 = lab.boot(customize=tmem.add_programs, disks=[lab.Disk("files", 64), lab.Disk("swap", 96)])
    tmem.Service(lab, dom0)
    disks = f'disk=["phy:{dom0.disk("files")},xvda,w", "phy:{dom0.disk("swap")},xvdb,w"]'
    guest = hooks.guest(lab, kernel=kernel, module=kernels.module(kernel, lab.out), memory=64, also=customize, config=["tmem=1", disks]).create()
    guest.run("mkdir -p /files && mke2fs -b 4096 -F /dev/xvda && mount -t ext4 /dev/xvda /files", timeout=300)
    guest.run(WRITE, timeout=600)
    hooks.swap_on_disk(guest, "/dev/xvdb")

    sums, read, written = run(guest)
    hooks.load(guest)
    sums_with, read_with, written_with = run(guest)
    lab.equal(sums_with, sums, "results with tmem")
    (lab.out / "figures").write_text(f"sectors read {read} without tmem, {read_with} with it; written {written} without, {written_with} with it\n")
    # By how much differs from run to run, with what the page cache happens to keep without tmem.
    lab.expect(read_with < read, f"{read_with} sectors are read with tmem, {read} without")
    lab.expect(written_with * 2 < written, f"{written_with} sectors are written with tmem, {written} without")
    # Of the puts that reclaim makes in bursts many find no place in the ring, on a processor that is emulated: dropped, not wrong.
    loaded, hit = hooks.count(guest, "frontswap_loaded"), hooks.count(guest, "cleancache_get_hit")
    lab.expect(loaded > 1000 and hit > 100, f"one of the hooks was hardly used: {loaded} pages of swap, {hit} of files")
    hooks.unload(guest, timeout=600)
    lab.equal(guest.run(JOB, timeout=900).out, sums, "results after the module has gone")
    guest.must_live()
