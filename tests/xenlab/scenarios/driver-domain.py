# SPDX-License-Identifier: MIT
"""An unprivileged domain maps another guest's grants and learns of its death by a delegated @releaseDomain, on both xenstoreds.

This is the shape of the tmem domain: no privilege but the right to hear of dead domains, which dom0 gives with xenstore-chmod.
"""

from lib.sharing import map_again_and_again, start_sharer


def scenario(lab):
    for store, mode in (("c", "pv"), ("ocaml", "pvh")):
        dom0 = lab.boot(store, label=store)
        server = lab.guest("server", type=mode, programs=["mapper"]).create()
        guest = lab.guest("guest", programs=["sharer"]).create()
        lab.expect(server.run("test -e /proc/xen/capabilities && grep control_d /proc/xen/capabilities", check=False).code != 0,
                   "the serving domain is privileged")
        sharer, node = start_sharer(guest, server.domid)
        map_again_and_again(lab, server, guest, sharer, node)
        check_release_watch(lab, dom0, server, guest)


def check_release_watch(lab, dom0, server, guest):
    """Without the permission the watch tells nothing; with it, it tells of each domain's end."""
    bystander = lab.guest("bystander", memory=112).create()
    # Registering a watch fires it once; the second event is a domain's end.
    watch = "exec xenstore-watch -n 2 @releaseDomain"
    deaf = server.start(watch)
    deaf.wait_line("@releaseDomain")
    bystander.destroy()
    dom0.xs_wait_gone(bystander.path())
    server.run("xenstore-read domid && sleep 1")
    lab.equal(deaf.out, "@releaseDomain\n", "what the watch told without permission")
    deaf.kill()

    dom0.xs_chmod("@releaseDomain", "n0", f"r{server.domid}")
    hearing = server.start(watch)
    hearing.wait_line("@releaseDomain")
    guest.destroy()
    hearing.wait_line("@releaseDomain\n@releaseDomain")
    lab.equal(hearing.wait().code, 0, "the watch that was allowed")
    server.must_live()
