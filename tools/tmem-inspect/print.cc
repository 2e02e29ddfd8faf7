// SPDX-License-Identifier: MIT
#include "print.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "tmem/uuid.h"

namespace tmem::inspect {
namespace {

constexpr size_t kDamagesShown = 20;

const char* codec_name(Codec codec) {
  switch (codec) {
    case Codec::kDead: return "dead";
    case Codec::kRaw: return "raw";
    case Codec::kLz4: return "lz4";
    case Codec::kSameFilled: return "same-filled";
    case Codec::kReference: return "reference";
    case Codec::kContent: return "content";
    case Codec::kMeta: return "meta";
  }
  return "unknown";
}

const char* meta_name(uint32_t kind) {
  switch (static_cast<MetaKind>(kind)) {
    case MetaKind::kClient: return "client";
    case MetaKind::kMembership: return "membership";
    case MetaKind::kObject: return "object";
    case MetaKind::kAuthorisation: return "authorisation";
  }
  return "unknown";
}

std::string name_text(const ClientMeta& client) {
  std::string name(client.name.data(), strnlen(client.name.data(), client.name.size()));
  for (char& c : name)
    if (c < 0x20 || c > 0x7e) c = '?';
  return name;
}

std::string type_text(const PoolReport& pool) {
  return std::string((pool.flags & kPoolPersistent) != 0 ? "persistent" : "ephemeral") + ((pool.flags & kPoolShared) != 0 ? " shared" : " private");
}

std::string ratio(uint64_t all, uint64_t part) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", part == 0 ? 0.0 : static_cast<double>(all) / static_cast<double>(part));
  return part == 0 ? "-" : text;
}

Json damage_json(const Damage& damage) {
  Json json = {{"what", to_string(damage.kind)}, {"segment", nullptr}, {"slot", nullptr}};
  if (damage.segment) json["segment"] = *damage.segment;
  if (damage.slot) json["slot"] = *damage.slot;
  return json;
}

Json client_json(const ClientMeta& client) {
  return {{"id", client.client}, {"name", name_text(client)}, {"uuid", uuid_text(client.uuid)}, {"epoch", client.epoch},
          {"weight", client.weight}, {"cap_pages", client.cap_pages}, {"min_pages", client.min_pages}, {"dedup_group", client.dedup_group},
          {"compress", (client.flags & kClientMetaCompress) != 0}, {"frozen", (client.flags & kClientMetaFrozen) != 0}};
}

Json pool_json(const PoolReport& pool) {
  Json json = {{"number", pool.number}, {"persistent", (pool.flags & kPoolPersistent) != 0}, {"shared", (pool.flags & kPoolShared) != 0},
               {"uuid", uuid_text(pool.uuid)}, {"objects", pool.objects}, {"pages", pool.pages}, {"payload_bytes", pool.payload_bytes}};
  json["members"] = Json::array();
  for (const PoolReport::Member& member : pool.members) json["members"].push_back({{"client", member.client}, {"pool", member.pool}});
  return json;
}

void print_contents(std::ostream& out, const Report& report) {
  out << "records: " << report.slots_live << " live, " << report.slots_dead << " dead slots\n";
  for (const auto& [codec, count] : report.codecs)
    out << "  " << codec_name(codec) << ": " << count.records << " records, " << count.payload_bytes << " bytes\n";
  out << "clients: " << report.clients.size() << '\n';
  for (const ClientMeta& client : report.clients)
    out << "  " << client.client << " '" << name_text(client) << "' " << uuid_text(client.uuid) << ", weight " << client.weight
        << ((client.flags & kClientMetaFrozen) != 0 ? ", frozen" : "") << '\n';
  out << "pools: " << report.pools.size() << '\n';
  for (const PoolReport& pool : report.pools) {
    out << " ";
    for (const PoolReport::Member& member : pool.members) out << ' ' << member.client << '/' << member.pool;
    out << ": " << type_text(pool) << ", " << pool.pages << " pages in " << pool.objects << " objects, " << pool.payload_bytes << " bytes\n";
  }
  out << "orphans: " << report.orphans << " (left by unfinished deaths; recovery drops them)\n";
}

void print_damages(std::ostream& out, const Report& report) {
  if (report.damages.empty()) {
    out << "damage: none\n";
    return;
  }
  out << "damage: " << report.damages.size() << " places\n";
  for (size_t i = 0; i < std::min(report.damages.size(), kDamagesShown); i++) {
    const Damage& damage = report.damages[i];
    out << "  ";
    if (damage.slot)
      out << "record " << *damage.segment << ':' << *damage.slot << ": ";
    else if (damage.segment)
      out << "segment at place " << *damage.segment << ": ";
    out << to_string(damage.kind) << '\n';
  }
  if (report.damages.size() > kDamagesShown) out << "  and " << report.damages.size() - kDamagesShown << " more; --json has all\n";
}

std::string hex_line(const std::vector<std::byte>& bytes, size_t at) {
  char text[32];
  std::string hex, plain;
  for (size_t i = at; i < at + 16; i++) {
    unsigned value = i < bytes.size() ? std::to_integer<unsigned>(bytes[i]) : 0;
    std::snprintf(text, sizeof text, "%02x ", value);
    hex += i < bytes.size() ? text : "   ";
    if (i < bytes.size()) plain += value >= 0x20 && value <= 0x7e ? static_cast<char>(value) : '.';
  }
  std::snprintf(text, sizeof text, "%04zx  ", at);
  return text + hex + ' ' + plain;
}

}  // namespace

Json to_json(const Report& report) {
  Json json = {{"file", report.path}, {"state", to_string(report.header_state)}, {"damaged", report.damaged()}};
  json["header"] = {{"version", report.header.version}, {"segment_bytes", report.header.segment_bytes}, {"segments_max", report.header.segments_max},
                    {"shard", report.header.shard}, {"shards", report.header.shards}};
  json["segments"] = {{"used", report.segments}, {"blank", report.segments_blank}, {"superseded", report.segments_superseded}, {"damaged", report.segments_damaged}};
  json["slots"] = {{"live", report.slots_live}, {"dead", report.slots_dead}};
  json["records"] = Json::object();
  for (const auto& [codec, count] : report.codecs) json["records"][codec_name(codec)] = {{"records", count.records}, {"payload_bytes", count.payload_bytes}};
  const Space& space = report.space;
  json["space"] = {{"file_bytes", space.file_bytes}, {"segment_bytes", space.segment_bytes}, {"directory_bytes", space.directory_bytes},
                   {"payload_bytes", space.payload_bytes}, {"padding_bytes", space.padding_bytes}, {"free_bytes", space.free_bytes}, {"blank_bytes", space.blank_bytes}};
  json["clients"] = Json::array();
  for (const ClientMeta& client : report.clients) json["clients"].push_back(client_json(client));
  json["pools"] = Json::array();
  for (const PoolReport& pool : report.pools) json["pools"].push_back(pool_json(pool));
  json["authorisations"] = report.authorisations;
  json["orphans"] = report.orphans;
  json["damages"] = Json::array();
  for (const Damage& damage : report.damages) json["damages"].push_back(damage_json(damage));
  return json;
}

void print(std::ostream& out, const Report& report) {
  out << report.path << ": " << to_string(report.header_state);
  if (report.header_state == HeaderState::kOtherVersion) out << " (" << report.header.version << "; this program reads " << kArenaVersion << ")";
  out << '\n';
  if (report.header_state != HeaderState::kArena) return;
  out << "shard " << report.header.shard << " of " << report.header.shards << ", at most " << report.header.segments_max << " segments of " << kSegmentBytes << " bytes\n";
  out << "segments: " << report.segments << " with records, " << report.segments_blank << " blank, " << report.segments_superseded << " superseded, "
      << report.segments_damaged << " damaged\n";
  const Space& space = report.space;
  out << "space: " << space.segment_bytes << " bytes hold " << space.payload_bytes << " bytes of payload (ratio " << ratio(space.segment_bytes, space.payload_bytes)
      << "): directories " << space.directory_bytes << ", padding " << space.padding_bytes << ", free " << space.free_bytes << ", empty segments " << space.blank_bytes << '\n';
  print_contents(out, report);
  print_damages(out, report);
}

Json to_json(const Record& record) {
  const Codec codec = place_codec(record.slot.place);
  Json json = {{"codec", codec_name(codec)}, {"object", record.slot.key.object}, {"index", record.slot.key.index},
               {"offset", place_offset(record.slot.place)}, {"size", place_size(record.slot.place)}, {"checksum_right", record.checksum_right}};
  std::string hex;
  char text[3];
  for (std::byte byte : record.payload) {
    std::snprintf(text, sizeof text, "%02x", std::to_integer<unsigned>(byte));
    hex += text;
  }
  json["payload"] = hex;
  return json;
}

void print(std::ostream& out, const Record& record) {
  const Codec codec = place_codec(record.slot.place);
  out << codec_name(codec);
  if (codec == Codec::kMeta) out << ' ' << meta_name(record.slot.key.index);
  out << ": key (" << record.slot.key.object << ", " << record.slot.key.index << "), " << place_size(record.slot.place) << " bytes at offset "
      << place_offset(record.slot.place) << " of its segment, slot at byte " << record.file_offset << " of the file, checksum "
      << (record.checksum_right ? "right" : "wrong") << '\n';
  for (size_t at = 0; at < record.payload.size(); at += 16) out << hex_line(record.payload, at) << '\n';
}

}  // namespace tmem::inspect
