// SPDX-License-Identifier: MIT
// A guest and a service as small as can be, around the real registry: one swap type with one page, one file system with one
// file, one page of it that has bytes and another that is only put. What Linux promises its hooks is promised here: the page's lock around each call for it, swapon and
// swapoff one at a time, and umount after the last call. The invariants, by the names that violate() is given:
//
//   a put came before its pool was made     every call of the registry finds the pool, unless the service lost it
//   a stale page was read                   from the service, or from the disk while the newest copy is elsewhere
//   a page was lost                         and no event excuses it
//   a call is inside after unregister       or comes in
//   a pool was made twice                   or one of another life of its slot was taken over
//   a pool was made while held
//   a member was forgotten                  the service is connected, and a member has no pool
//   something is left                       when all have gone: a pool, a member, a count
//
// Owns everything. Thread rule: an Explorer's actors.
#pragma once

#include <cstdint>

#include "checked_atomics.h"
#include "lazy_registry.h"

namespace tmem::test {

class World {
 public:
  void begin();
  uint64_t hash() const;
  uint64_t guarded() const;
  void end();

  // ---- actors ----
  void swapon();
  void swapoff();
  void store();
  void load();
  void free_page();
  void mount();
  void umount();
  void put();
  void put_other();      // another page of the file, with a lock of its own
  void get();
  void write();          // the file changes: its page must be flushed
  void write_no_room();  // likewise, and the flush cannot be delivered
  void mend();
  void load_module();
  void unload_module();  // refused while the page is out
  void bring_back();     // and unload
  void hold();           // hears of members that are there, and pools are made when it has heard of all
  void connect();
  void lose_memory();    // the service comes back with none
  void disconnect();     // for good

 private:
  static constexpr uint32_t kType = 0, kFile = 1, kSlots = 2;
  struct Pool {
    bool exists, page;
    bool gone;       // the service forgot the pool: puts may find none until it is made again
    bool page_gone;  // and its page with it
    uint32_t life, version;
  };

  static int make_pool(void* self, uint32_t slot, uint32_t flags, const uint64_t uuid[2]);
  static int drop_pool(void* self, uint32_t slot);
  static uint64_t pages(void* self, uint32_t slot);
  void lock_and_look(uint32_t& word);
  uint64_t pool_seen(uint32_t slot) const;
  void require(bool truth, const char* what) const;
  void lose_pools();
  bool service_put(uint32_t slot, uint32_t version);
  bool service_get(uint32_t slot, uint32_t& version);
  void service_flush(uint32_t slot);
  bool store_locked();
  void invalidate_locked();
  void load_locked();
  void flush_file_locked(bool room);

  tmem_lazy lazy_;
  tmem_lazy_member members_[kSlots];
  tmem_lazy_backend backend_;

  struct {
    Pool pool[kSlots];
    uint32_t life[kSlots];
    uint32_t module_lock, connection_lock, swap_lock, page_lock, fs_lock, file_lock, other_lock;
    bool code, linked;            // the backend's code is there; the service can be reached
    bool on, mapped, in_memory;   // swap type; the page is said to be in frontswap; is neither there nor on disk
    uint32_t version, disk, counted;
    bool mounted;
    uint32_t file_version;
  } s_;
};

}  // namespace tmem::test
