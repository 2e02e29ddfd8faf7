# SPDX-License-Identifier: MIT
"""Both xenstored daemons, C and OCaml: a guest boots; quotas on nodes and on the size of a value hold for it and not for dom0."""

NODES = 1000
VALUE_BYTES = 2048


def scenario(lab):
    for store in ("c", "ocaml"):
        dom0 = lab.boot(store, label=store)
        guest = lab.guest("g1", programs=["filler"]).create()
        check_nodes(lab, dom0, guest)
        check_value_size(lab, guest)
        if store == "c":
            quotas = dom0.run("xenstore-control quota").out
            lab.expect(f"{NODES}" in quotas and f"{VALUE_BYTES}" in quotas, f"xenstore-control quota said: {quotas}")
        guest.shutdown()
        dom0.xs_wait_gone(guest.path())


def check_nodes(lab, dom0, guest):
    """The guest may own so many nodes and no more; dom0 goes on writing; what the guest frees it may use again."""
    count, _, why = guest.run(f"filler data {2 * NODES}").out.partition(" ")
    lab.expect(NODES - 100 <= int(count) < NODES, f"a guest could make {count} nodes with a quota of {NODES}: {why}")
    lab.equal(len(dom0.xs_list(guest.path("data/d0"))), 50, "nodes that dom0 sees in the first folder")
    lab.expect(guest.run("xenstore-write data/over x", check=False).code != 0, "a node above the quota was made")
    dom0.xs_write("/tool/lab", "dom0 is not limited by a guest's nodes")
    guest.run("xenstore-rm data/d0 && xenstore-write data/again x")


def check_value_size(lab, guest):
    write = "xenstore-write data/again $(head -c {} /dev/zero | tr '\\0' a)"
    guest.run(write.format(VALUE_BYTES - 64))
    lab.expect(guest.run(write.format(VALUE_BYTES + 1), check=False).code != 0, f"a value above {VALUE_BYTES} bytes was taken")
