// SPDX-License-Identifier: MIT
// Every maximum of the service that a peer can reach, and the relations between them. One that a guest can reach is answered by
// a status.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tmem {

// Who there is.
inline constexpr uint32_t kShardsMax = 32;
inline constexpr uint32_t kClientsMax = 4096;
inline constexpr uint32_t kPoolsPerClientMax = 8192;  // pool ids run from 0 to this - 1
inline constexpr uint32_t kPoolsMax = 65536;          // per shard, all clients together
inline constexpr uint32_t kPoolsSurePerClient = 8;    // joined ones too: kept back for every client, whatever others take
inline constexpr uint32_t kSharersMax = 256;          // members of one shared pool
inline constexpr uint32_t kAuthorisedUuidsMax = 256;  // per client
inline constexpr uint32_t kNameBytesMax = 63;
inline constexpr uint32_t kWeightMax = 65535;         // of one client

// Space. A record is named by 18 bits of segment and 14 bits of slot, an offset inside a segment by 15 bits of 8 bytes.
inline constexpr size_t kSegmentBytes = size_t{256} << 10;
inline constexpr uint32_t kSegmentsMax = uint32_t{1} << 18;  // 64 GiB of arena per shard
inline constexpr uint32_t kSlotsPerSegmentMax = uint32_t{1} << 14;
inline constexpr size_t kRecordAlignBytes = 8;
inline constexpr uint32_t kObjectsMax = uint32_t{1} << 26;  // per shard

inline constexpr uint64_t kShardBytesMax = uint64_t{kSegmentsMax} * kSegmentBytes;
inline constexpr uint32_t kContentsMax = uint32_t{1} << 26;  // pages kept for several handles, per shard

// Connections of local processes.
inline constexpr size_t kUnheardConnectionsMax = 128;  // that have not said hello yet
inline constexpr size_t kKeptFdsMax = 1024;            // with the manager; FileDescriptorStoreMax of xen-tmemd.service
inline constexpr size_t kKeptFdsOfClientsMax = 960;    // of these; clients beyond connect anew after a crash

// The control plane. A peer that has more waiting is cut off.
inline constexpr size_t kControlConnectionsMax = 64;  // one more cuts off the one that has said nothing for longest
inline constexpr size_t kControlPendingMax = 64;      // requests of one connection in work
inline constexpr size_t kControlRequestBytesMax = size_t{1} << 20;
inline constexpr size_t kControlReplyBytesMax = size_t{64} << 20;
inline constexpr size_t kControlBacklogBytesMax = size_t{96} << 20;  // replies and events that wait to be read

inline constexpr size_t kLogSourcesMax = 1024;  // with a bucket for lines of their own; all others share one

// Work done in one go.
inline constexpr uint32_t kDrainRequestsMax = 64;       // requests of one queue before the next queue has its turn
inline constexpr uint32_t kDrainWorkMax = 256;          // or so much work beside them: a victim looked at counts 1
inline constexpr uint32_t kCompactionWork = 64;         // a segment compacted, in the same measure
inline constexpr uint32_t kEvictionsPerPutMax = 32;     // victims looked at for one put
inline constexpr uint32_t kCompactionsPerPutMax = 2;    // segments compacted for one put
inline constexpr uint32_t kTeardownPagesPerStep = 256;  // pages of what is dead freed per step, or flushed per call

// Credits: space for the worst page, reserved ahead. Bounded so that a hundred clients cost megabytes, not gigabytes.
inline constexpr uint32_t kCreditsPerQueueMax = 32;

// A page that LZ4 leaves above this is stored raw: three quarters, where decoding costs more than the space is worth.
inline constexpr size_t kCompressedBytesMax = 3072;

}  // namespace tmem

static_assert(tmem::kSegmentBytes / tmem::kRecordAlignBytes == size_t{1} << 15);
static_assert(tmem::kClientsMax * tmem::kPoolsSurePerClient <= tmem::kPoolsMax / 2, "what is kept back leaves thousands");
static_assert(uint64_t{tmem::kClientsMax} * tmem::kWeightMax < uint64_t{1} << 29, "weights times pages fit 64 bits");
static_assert(tmem::kKeptFdsOfClientsMax + tmem::kShardsMax + 3 <= tmem::kKeptFdsMax, "arenas, two sockets and the memory that was set");
static_assert(tmem::kControlReplyBytesMax < tmem::kControlBacklogBytesMax, "the longest reply can be sent");
static_assert(tmem::kSegmentBytes / 24 < tmem::kSlotsPerSegmentMax, "a segment full of the smallest records has slots enough");
