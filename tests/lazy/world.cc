// SPDX-License-Identifier: MIT
#include "lazy/world.h"

#include "lazy/explorer.h"

namespace tmem::test {
namespace {

constexpr uint32_t kPersistent = TMEMIF_POOL_FLAGS(TMEMIF_POOL_PERSISTENT);
constexpr uint32_t kEphemeral = TMEMIF_POOL_FLAGS(0);

uint64_t hash_bytes(const void* from, size_t count, uint64_t state) {
  const auto* bytes = static_cast<const unsigned char*>(from);
  for (size_t i = 0; i < count; ++i) state = (state ^ bytes[i]) * 0x100000001b3u;
  return state;
}

}  // namespace

void World::begin() {
  memset(&s_, 0, sizeof(s_));
  s_.linked = true;
  s_.in_memory = true;
  backend_ = {make_pool, drop_pool, pages, this};
  (void)tmem_lazy_init(&lazy_, members_, kSlots);
}

uint64_t World::hash() const {
  return hash_bytes(&s_, sizeof(s_), hash_bytes(members_, sizeof(members_), hash_bytes(&lazy_, sizeof(lazy_), 1)));
}

uint64_t World::guarded() const { return hash_bytes(members_, sizeof(members_), hash_bytes(&lazy_, sizeof(lazy_), 2)); }

uint64_t World::pool_seen(uint32_t slot) const {
  return hash_bytes(&s_.pool[slot], sizeof(s_.pool[slot]), s_.life[slot] * 4 + s_.linked * 2 + s_.code);
}

// What an actor decides by, once it has one of the guest's locks: not the pools and not the registry.
void World::lock_and_look(uint32_t& word) {
  lock(word);
  note(s_.on | s_.mapped << 1 | s_.in_memory << 2 | s_.mounted << 3 | s_.code << 4 | s_.version << 8 | s_.disk << 16 | s_.file_version << 24);
}

void World::require(bool truth, const char* what) const {
  if (!truth) violate(what);
}

// ---- the service ----

int World::make_pool(void* self, uint32_t slot, uint32_t flags, const uint64_t*) {
  auto& world = *static_cast<World*>(self);
  Pool& pool = world.s_.pool[slot];
  step();
  world.require(world.s_.code, "a call is inside after unregister");
  const bool persistent = flags & TMEMIF_POOL_PERSISTENT;
  world.require(!pool.exists || (persistent && pool.life == world.s_.life[slot]), "a pool was made twice");
  step();
  note(world.pool_seen(slot));
  if (!world.s_.linked) return -ENODEV;
  if (!pool.exists) {
    pool.exists = true;
    pool.page = pool.gone = false;
    pool.life = world.s_.life[slot];
  }
  return 0;
}

int World::drop_pool(void* self, uint32_t slot) {
  auto& world = *static_cast<World*>(self);
  step();
  note(world.pool_seen(slot));
  world.require(world.s_.code, "a call is inside after unregister");
  if (!world.s_.linked) return -ENODEV;
  world.s_.pool[slot].exists = false;
  return 0;
}

uint64_t World::pages(void* self, uint32_t slot) {
  const auto& world = *static_cast<World*>(self);
  step();
  note(world.s_.counted);
  return slot == kType ? world.s_.counted : 0;
}

bool World::service_put(uint32_t slot, uint32_t version) {
  Pool& pool = s_.pool[slot];
  step();
  note(pool_seen(slot));
  require(s_.code, "a call is inside after unregister");
  require(pool.exists || pool.gone, "a put came before its pool was made");
  if (!pool.exists) return false;
  pool.page = true;
  pool.page_gone = false;
  pool.version = version;
  step();
  require(s_.code, "a call is inside after unregister");
  return true;
}

bool World::service_get(uint32_t slot, uint32_t& version) {
  Pool& pool = s_.pool[slot];
  step();
  note(pool_seen(slot));
  require(s_.code, "a call is inside after unregister");
  if (!pool.exists || !pool.page) return false;
  version = pool.version;
  if (slot == kFile) pool.page = false;
  return true;
}

void World::service_flush(uint32_t slot) {
  step();
  require(s_.code, "a call is inside after unregister");
  s_.pool[slot].page = false;
}

void World::lose_pools() {
  for (Pool& pool : s_.pool) {
    pool.exists = false;
    pool.gone = pool.page_gone = true;
  }
}

// ---- swap ----

void World::swapon() {
  lock_and_look(s_.swap_lock);
  if (!s_.on) {
    ++s_.life[kType];
    s_.pool[kType].gone = s_.pool[kType].page_gone = false;
    tmem_lazy_remember(&lazy_, kType, kPersistent);
    s_.on = true;
  }
  unlock(s_.swap_lock);
}

void World::swapoff() {
  lock_and_look(s_.swap_lock);
  if (s_.on) {
    lock_and_look(s_.page_lock);
    load_locked();
    if (s_.mapped) invalidate_locked();
    s_.in_memory = true;
    s_.on = false;
    unlock(s_.page_lock);
    tmem_lazy_forget(&lazy_, kType);
  }
  unlock(s_.swap_lock);
}

bool World::store_locked() {
  int ticket;
  if (!tmem_lazy_enter(&lazy_, kType, TMEM_LAZY_PUT, &ticket)) return false;
  ++s_.counted;
  const bool stored = service_put(kType, s_.version);
  if (!stored) --s_.counted;
  tmem_lazy_exit(&lazy_, ticket);
  return stored;
}

void World::invalidate_locked() {
  int ticket;
  s_.mapped = false;
  if (tmem_lazy_enter(&lazy_, kType, TMEM_LAZY_GET, &ticket)) {
    service_flush(kType);
    --s_.counted;
    tmem_lazy_exit(&lazy_, ticket);
  } else {
    violate("a page is in a pool that has no backend");
  }
}

void World::load_locked() {
  uint32_t version = 0;
  int ticket;
  if (s_.in_memory) return;
  if (!s_.mapped) {
    require(s_.disk == s_.version, "a stale page was read");
    return;
  }
  if (!tmem_lazy_enter(&lazy_, kType, TMEM_LAZY_GET, &ticket)) {
    violate("a stale page was read");
    return;
  }
  const bool found = service_get(kType, version);
  tmem_lazy_exit(&lazy_, ticket);
  require(found || s_.pool[kType].page_gone, "a page was lost");
  require(!found || version == s_.version, "a stale page was read");
}

void World::store() {
  lock_and_look(s_.page_lock);
  if (s_.on) {
    ++s_.version;
    s_.in_memory = false;
    if (s_.mapped) invalidate_locked();
    if (store_locked())
      s_.mapped = true;
    else
      s_.disk = s_.version;
  }
  unlock(s_.page_lock);
}

void World::load() {
  lock_and_look(s_.page_lock);
  if (s_.on) load_locked();
  unlock(s_.page_lock);
}

void World::free_page() {
  lock_and_look(s_.page_lock);
  if (s_.on && s_.mapped) invalidate_locked();
  s_.in_memory = true;
  unlock(s_.page_lock);
}

// ---- files ----

void World::mount() {
  lock_and_look(s_.fs_lock);
  if (!s_.mounted) {
    ++s_.life[kFile];
    s_.pool[kFile].gone = false;
    s_.mounted = tmem_lazy_remember_any(&lazy_, kFile, kEphemeral, nullptr) == kFile;
    require(s_.mounted, "a free slot was not given");
  }
  unlock(s_.fs_lock);
}

void World::umount() {
  lock_and_look(s_.fs_lock);
  if (s_.mounted) {
    lock_and_look(s_.file_lock);
    lock_and_look(s_.other_lock);
    s_.mounted = false;
    unlock(s_.other_lock);
    unlock(s_.file_lock);
    tmem_lazy_forget(&lazy_, kFile);
    ++s_.file_version;  // changed on the outside
  }
  unlock(s_.fs_lock);
}

void World::put() {
  int ticket;
  lock_and_look(s_.file_lock);
  if (s_.mounted && tmem_lazy_enter(&lazy_, kFile, TMEM_LAZY_PUT, &ticket)) {
    (void)service_put(kFile, s_.file_version);
    tmem_lazy_exit(&lazy_, ticket);
  }
  unlock(s_.file_lock);
}

void World::put_other() {
  int ticket;
  lock_and_look(s_.other_lock);
  if (s_.mounted && tmem_lazy_enter(&lazy_, kFile, TMEM_LAZY_PUT, &ticket)) {
    const Pool& pool = s_.pool[kFile];
    step();
    note(pool_seen(kFile));
    require(s_.code, "a call is inside after unregister");
    require(pool.exists || pool.gone, "a put came before its pool was made");
    tmem_lazy_exit(&lazy_, ticket);
  }
  unlock(s_.other_lock);
}

void World::get() {
  uint32_t version = 0;
  int ticket;
  lock_and_look(s_.file_lock);
  if (s_.mounted && tmem_lazy_enter(&lazy_, kFile, TMEM_LAZY_GET, &ticket)) {
    const bool found = service_get(kFile, version);
    tmem_lazy_exit(&lazy_, ticket);
    require(!found || version == s_.file_version, "a stale page was read");
  }
  unlock(s_.file_lock);
}

void World::flush_file_locked(bool room) {
  int ticket;
  if (!tmem_lazy_enter(&lazy_, kFile, TMEM_LAZY_GET, &ticket)) return;
  if (room)
    service_flush(kFile);
  else
    tmem_lazy_spoil(&lazy_, kFile);
  tmem_lazy_exit(&lazy_, ticket);
}

void World::write() {
  lock_and_look(s_.file_lock);
  if (s_.mounted) {
    ++s_.file_version;
    flush_file_locked(true);
  }
  unlock(s_.file_lock);
}

void World::write_no_room() {
  lock_and_look(s_.file_lock);
  if (s_.mounted) {
    ++s_.file_version;
    flush_file_locked(false);
  }
  unlock(s_.file_lock);
}

void World::mend() { tmem_lazy_mend(&lazy_); }

// ---- the module and its connection ----

void World::load_module() {
  lock_and_look(s_.module_lock);
  const bool loaded = s_.code;
  s_.code = true;
  const int error = tmem_lazy_register(&lazy_, &backend_);
  require((error == 0) != loaded, "a backend was registered twice, or not at all");
  unlock(s_.module_lock);
}

void World::hold() {
  lock_and_look(s_.module_lock);
  tmem_lazy_hold(&lazy_);
  uint32_t ready = 0;
  for (uint32_t i = 0; i < kSlots; ++i) ready |= (tmem_load_once(&members_[i].state) == TMEM_LAZY_READY) << i;
  step();
  for (uint32_t i = 0; i < kSlots; ++i) require(tmem_load_once(&members_[i].state) != TMEM_LAZY_READY || (ready >> i & 1), "a pool was made while held");
  tmem_lazy_release(&lazy_);
  unlock(s_.module_lock);
}

void World::unload_module() {
  lock_and_look(s_.module_lock);
  if (s_.code && tmem_lazy_unregister(&lazy_) == 0) {
    s_.code = false;
    for (Pool& pool : s_.pool) {
      require(!pool.exists || !s_.linked, "something is left: a pool");
      pool.exists = false;
    }
  }
  unlock(s_.module_lock);
}

void World::bring_back() {
  tmem_lazy_leave(&lazy_);
  lock_and_look(s_.page_lock);
  if (s_.on && s_.mapped) {
    load_locked();
    invalidate_locked();
    s_.disk = s_.version;
  }
  unlock(s_.page_lock);
  unload_module();
  tmem_lazy_resume(&lazy_);
}

void World::connect() {
  lock_and_look(s_.connection_lock);
  s_.linked = true;
  tmem_lazy_connect(&lazy_);
  unlock(s_.connection_lock);
}

void World::lose_memory() {
  lock_and_look(s_.connection_lock);
  lose_pools();
  s_.linked = true;
  tmem_lazy_connect(&lazy_);
  unlock(s_.connection_lock);
}

void World::disconnect() {
  lock_and_look(s_.connection_lock);
  s_.linked = false;
  lose_pools();
  tmem_lazy_disconnect(&lazy_);
  unlock(s_.connection_lock);
}

void World::end() {
  for (const tmem_lazy_member& member : members_)
    require(!lazy_.connected || member.state != TMEM_LAZY_WAITING, "a member was forgotten");
  load();
  get();
  swapoff();
  umount();
  unload_module();
  require(!s_.code && !lazy_.backend && !lazy_.connected, "something is left: a backend");
  require(s_.counted == 0 && lazy_.gate.inside == 0, "something is left: a count");
  for (const tmem_lazy_member& member : members_)
    require(member.state == TMEM_LAZY_EMPTY && !member.has_pool, "something is left: a member");
}

}  // namespace tmem::test
