// SPDX-License-Identifier: MIT
// Errors as values: one Status for the whole service and one Result<T>. Three tables translate a Status where it leaves the
// service: to the ABI (transport/backend), to errno (daemon), to protobuf (control). Nothing throws.
#pragma once

#include <cstdint>
#include <utility>
#include <variant>

namespace tmem {

enum class [[nodiscard]] Status : uint8_t {
  kOk,
  kMiss,           // get, flush: nothing there
  kNoSpace,        // no room; nothing was changed
  kPutFlushed,     // a dup put could not replace: the old page is gone
  kFrozen,         // new handle or new pool of a frozen client
  kOverCap,        // new handle of a client at its cap
  kNoPool,         // no such pool of this client
  kPoolExists,     // the id is taken by a pool of other flags or uuid
  kNoPoolSlots,    // limit of pools reached
  kBadVersion,     // pool flags: version
  kBadPageSize,    // pool flags: page size
  kBadFlags,       // pool flags: reserved bits or an impossible combination
  kNotAuthorised,  // join: the uuid is not in the client's list
  kNotAllQueues,   // join: the client has fewer queues than there are shards
  kBadObject,      // the all-ones object
  kCorrupt,        // the stored page failed its checksum and is gone
  kNoCredit,       // a put spent a credit that was never granted
  kNoClient,       // no such client
  kClientExists,   // that client id is taken
  kNoClientSlots,  // limit of clients reached
  kBadArgument,    // a control value out of range
  kBadArena,       // the arena's bytes are not an arena of this version
};
inline constexpr unsigned kStatusCount = static_cast<unsigned>(Status::kBadArena) + 1;

// Short text for logs and tools.
constexpr const char* to_string(Status status) {
  switch (status) {
    case Status::kOk: return "ok";
    case Status::kMiss: return "not there";
    case Status::kNoSpace: return "no space";
    case Status::kPutFlushed: return "not replaced, the old page is gone";
    case Status::kFrozen: return "frozen";
    case Status::kOverCap: return "over cap";
    case Status::kNoPool: return "no such pool";
    case Status::kPoolExists: return "pool id is taken";
    case Status::kNoPoolSlots: return "too many pools";
    case Status::kBadVersion: return "pool version not supported";
    case Status::kBadPageSize: return "page size not supported";
    case Status::kBadFlags: return "impossible pool flags";
    case Status::kNotAuthorised: return "not authorised for this uuid";
    case Status::kNotAllQueues: return "fewer queues than shards";
    case Status::kBadObject: return "reserved object";
    case Status::kCorrupt: return "stored page was damaged";
    case Status::kNoCredit: return "no credit";
    case Status::kNoClient: return "no such client";
    case Status::kClientExists: return "client id is taken";
    case Status::kNoClientSlots: return "too many clients";
    case Status::kBadArgument: return "value out of range";
    case Status::kBadArena: return "not an arena of this version";
  }
  return "unknown status";
}

// A value or the reason why there is none. Access without a check is a bug and is undefined, as for std::optional.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status error) : value_(error) {}

  bool ok() const { return value_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() { return *std::get_if<0>(&value_); }
  const T& value() const { return *std::get_if<0>(&value_); }
  Status status() const { return ok() ? Status::kOk : *std::get_if<1>(&value_); }

 private:
  std::variant<T, Status> value_;
};

}  // namespace tmem
