/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * How a guest connects over Xen: xenstore nodes, their owners and values. The rings themselves are those of tmemif.h.
 * xenstore-config/nodes.md has every node as a table; docs/abi.md, "Connecting over Xen", has the life of a connection.
 *
 *   /local/domain/B/backend/tmem/G/0   owned by the service's domain B, read by guest G   (8 nodes)
 *   /local/domain/G/device/tmem/0      owned by guest G, read by B
 *
 * Values are decimal numbers unless said otherwise. A node that packs several values holds words KEY=NUMBER, separated by
 * one space, in any order; a reader ignores keys that it does not know. Nothing in the frontend's directory is trusted: the
 * pairing comes from the backend's own path, and each value is checked and copied.
 */
#ifndef TMEM_XS_H
#define TMEM_XS_H

#define TMEM_XS_DEVICE "tmem" /* device class: backend/tmem, device/tmem */

/* Common to both sides; the values of state are Xen's XenbusState. */
#define TMEM_XS_STATE "state"

/* Backend directory, written by dom0's agent at attach. */
#define TMEM_XS_FRONTEND "frontend"       /* path of the frontend directory */
#define TMEM_XS_FRONTEND_ID "frontend-id" /* domid of the guest */
#define TMEM_XS_ONLINE "online"           /* 1; 0: dom0 wants the device gone, backend closes and removes its directory */
#define TMEM_XS_GUEST "guest"             /* uuid=36 characters name=rest of the value, as dom0 knows them */
#define TMEM_XS_POLICY "policy"           /* weight= cap-pages= min-pages= compress= ...; see nodes.md */

/*
 * Backend directory, written by the service. Before InitWait: versions= (lowest-highest, as 1-1), max-queues=,
 * max-ring-order=, generation=. Before Connected also: resumed= (0 or 1), epoch= (to present at the next resume).
 */
#define TMEM_XS_SERVICE "service"

/* Frontend directory, written by dom0's agent at attach. */
#define TMEM_XS_BACKEND "backend"       /* path of the backend directory */
#define TMEM_XS_BACKEND_ID "backend-id" /* domid of the service's domain */

/* Frontend directory, written by the guest before Initialised. */
#define TMEM_XS_CONNECT "connect"   /* version= queues= ring-order= */
#define TMEM_XS_QUEUES "queues"     /* for each queue "REF:PORT", separated by one space: directory page and event channel */
#define TMEM_XS_IDENTITY "identity" /* nonce=32 hex digits epoch= suspended= (1: will be back; pools outlive the domain) */

/*
 * dom0 asks the guest to take pages back: below the guest's own path, how many may stay that only the service has. The guest answers
 * in the frontend directory: target= (as asked) left= busy= (1: not done yet) error= (of Linux; 0: done). The request stands while the
 * node does; with 0 the guest stores nothing meanwhile.
 */
#define TMEM_XS_PAGES_TARGET "memory/tmem/pages-target"
#define TMEM_XS_PAGES_BACK "pages-back"

/*
 * A queue's directory page, granted read-only: the grant references of its TMEMIF_QUEUE_PAGES(order) pages, in order, as
 * 32-bit little-endian words. Read once at connect.
 */
#define TMEM_XS_DIRECTORY_REFS_MAX 1024u

#define TMEM_XS_NODES_OWNED_MAX 8u /* per guest, counted against the service's domain */

/*
 * Control from dom0. The service's domain offers some vchans (libxenvchan) to dom0, number N of them at
 * TMEM_XS_CONTROL "/N" below its own path; each carries one connection as the control socket does, and is offered anew when
 * that has ended. Behind libxenvchan's own nodes, session: a word that no two offers share. A client in dom0 holds a lock on
 * N, and takes no session that was taken before.
 */
#define TMEM_XS_CONTROL "data/xen-tmem/control"
#define TMEM_XS_CONTROL_SESSION "session"
#define TMEM_XS_CONTROL_STREAMS 8u

/*
 * A guest's part in the host's policy of memory, below its own path and dom0's only: min, max (MiB), weight, buffer (percent).
 */
#define TMEM_XS_FLOW_KEYS "memory/tmem/flow"

/* Written by dom0's agent, for dom0's tools. */
#define TMEM_XS_TOOL "/tool/xen-tmem"
#define TMEM_XS_SERVICE_DOMAIN TMEM_XS_TOOL "/service-domain" /* domid */

/*
 * Memory that flows, between dom0's own programs. state: words, of the latest round. limit/UUID: words max= written= (KiB),
 * while it is being written before=, while the limit of that guest is lower than its administrator set it. pages/G: as the agent wrote TMEM_XS_PAGES_TARGET of G. room/ID: words kib= hold= (seconds), by who needs room; the
 * agent answers below it with words state= (making, made, short) free-kib= missing-kib=, and removes it when the time is over.
 */
#define TMEM_XS_FLOW TMEM_XS_TOOL "/flow"
#define TMEM_XS_FLOW_STATE TMEM_XS_FLOW "/state"
#define TMEM_XS_FLOW_EVENTS TMEM_XS_FLOW "/events"
#define TMEM_XS_FLOW_LIMIT TMEM_XS_FLOW "/limit"
#define TMEM_XS_FLOW_PAGES TMEM_XS_FLOW "/pages"
#define TMEM_XS_FLOW_ROOM TMEM_XS_FLOW "/room"
#define TMEM_XS_FLOW_ANSWER "answer"
#define TMEM_XS_FLOW_BEFORE "before"

#endif /* TMEM_XS_H */
