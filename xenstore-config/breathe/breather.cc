// SPDX-License-Identifier: MIT
#include "breathe/breather.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "agent/attach.h"
#include "breathe/words.h"
#include "tmem/tmem_xs.h"

namespace tmem::breathe {
namespace {

constexpr uint64_t kMibKib = 1024;
constexpr uint64_t kPatienceMs = 30000;  // for who waits for memory and comes no nearer to it
constexpr uint64_t kOwnLeastKib = 100 * kMibKib;  // as tools/stubdom/build assumes
constexpr uint64_t kOwnPart = 16;                // of a domain's memory: what a kernel needs to keep books on it, and spare
constexpr uint64_t kRoomHoldS = 60, kRoomTimeoutS = 3600;  // of who asks for room and does not say
constexpr size_t kLimitsMax = 1024;              // records of guests that are not here; beyond, they are dropped
constexpr agent::Permissions kDom0Only{};

uint64_t above(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }
uint64_t distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }
std::string memory_path(Domid domain) { return "/local/domain/" + std::to_string(domain) + "/memory"; }
std::string limit_path(const std::string& uuid) { return TMEM_XS_FLOW_LIMIT "/" + uuid; }
std::string pages_path(Domid domain) { return TMEM_XS_FLOW_PAGES "/" + std::to_string(domain); }
std::string pages_target_path(Domid domain) { return "/local/domain/" + std::to_string(domain) + "/" TMEM_XS_PAGES_TARGET; }
std::string room_path(const std::string& id) { return TMEM_XS_FLOW_ROOM "/" + id; }

// The administrator's own target, where the one that stands is what the record says was written, or was there before that.
std::optional<uint64_t> set_before(const std::string& record, uint64_t target_kib) {
  const bool ours = word_number(record, "written") == target_kib || word_number(record, "before") == target_kib;
  return ours ? word_number(record, "max") : std::nullopt;
}

// kib is to stand in memory/target, which is without video memory.
void set_target(agent::StoreView& store, Hypervisor& hypervisor, Domid domain, uint64_t kib) {
  hypervisor.set_target(domain, kib + to_number(store.read(memory_path(domain) + "/videoram").value_or("")).value_or(0));
}

void write_if_new(agent::StoreView& store, const std::string& path, const std::string& value) {
  if (store.read(path) != value) store.write(path, value, kDom0Only);
}

}  // namespace

Breather::Breather(agent::Store& store, Hypervisor& hypervisor, Service& service, Options options, Tell tell)
    : store_(store), hypervisor_(hypervisor), service_(service), options_(std::move(options)), tell_(std::move(tell)) {}

bool Breather::round(uint64_t now_ms) {
  const Look seen = look(now_ms);
  flow::HostParams params = options_.params;
  params.tmem_min_kib = std::max(params.tmem_min_kib, seen.service ? seen.service->least_kib : 0) + seen.tmem_own_kib;
  params.tmem_max_kib = std::min(params.tmem_max_kib, seen.tmem_max_kib);
  flow::HostPlan plan = flow::plan(params, state_, seen.sample);
  state_ = std::move(plan.next);
  const bool was_short = std::exchange(room_short_, false);
  const bool silent = service_is_silent(seen, now_ms);
  for (const auto& [what, id] : plan.events) {
    if (what == flow::HostEvent::kRoomShort && silent) continue;  // not known yet
    room_short_ |= what == flow::HostEvent::kRoomShort;
    if (what != flow::HostEvent::kRoomShort || !was_short) tell_({what, id, id == 0 ? "" : name_of(id)});
  }

  const std::exception_ptr failed = limit_guests(seen, plan);
  ask_for_pages(seen, plan);
  bool moving = move_tmem(seen, plan.tmem_target_kib) || !plan.limits_kib.empty() || silent;
  for (const auto& [id, asked] : state_.asked) moving |= !asked.silent && asked.pages > asked.target;
  for (const auto& [id, progress] : state_.guests) moving |= progress.distance_kib > 0 && !progress.stuck;
  answer_rooms(seen, moving, now_ms);
  report(seen, plan);
  if (failed) std::rethrow_exception(failed);
  return moving || !rooms_.empty() || seen.sample.room_kib > 0;
}

// On a busy host an answer may be late; what it holds cannot be told, and not be moved, for a while.
bool Breather::service_is_silent(const Look& seen, uint64_t now_ms) {
  if (!seen.tmem || seen.service) {
    silent_since_ms_.reset();
    return false;
  }
  if (!silent_since_ms_) silent_since_ms_ = now_ms;
  return now_ms - *silent_since_ms_ < kPatienceMs;
}

// --- looking --------------------------------------------------------------------------------------------------------------

std::optional<uint64_t> Breather::number(const std::string& path) { return to_number(store_.read(path).value_or("")); }

std::string Breather::name_of(Domid domain) { return agent::guest_name(store_, domain).name; }

// What the tmem domain has and its service does not count on. Not all of that is the domain's own need: somebody may have lowered
// the service's target before. So no more than its service can never have (the domain's maximum less the service's), and a part.
uint64_t Breather::own_kib(const DomainView& domain, const ServiceMemory& service) {
  const uint64_t static_max = number(memory_path(domain.id) + "/static-max").value_or(domain.current_kib);
  const uint64_t bound = std::max(above(static_max, service.max_kib), kOwnLeastKib) + static_max / kOwnPart;
  return std::min(above(domain.current_kib, service.target_kib), bound);
}

Breather::Look Breather::look(uint64_t now_ms) {
  Look seen;
  seen.free_kib = hypervisor_.free_kib();
  seen.domains = hypervisor_.domains();
  seen.sample.time_ms = now_ms;
  seen.sample.free_kib = seen.free_kib;
  look_at_tmem(seen);
  seen.sample.room_kib = asked_rooms_kib(seen, now_ms);
  seen.waiting_kib = waiting_kib(seen, now_ms);
  seen.sample.room_kib += seen.waiting_kib;
  look_at_pages(seen);
  look_at_guests(seen);
  return seen;
}

void Breather::look_at_tmem(Look& seen) {
  const auto id = agent::find_domain(store_, options_.service_domain);
  const auto at = std::find_if(seen.domains.begin(), seen.domains.end(), [&](const DomainView& d) { return id == d.id && d.id != 0 && !d.dying; });
  if (at == seen.domains.end()) return;
  seen.tmem = *at;
  const uint64_t current = at->current_kib;
  const uint64_t aim = number(memory_path(*id) + "/target").value_or(current);
  seen.service = service_.memory(*id);
  if (!seen.service) {  // whatever it holds, it stays as it is
    seen.sample.tmem_current_kib = seen.sample.tmem_persistent_kib = seen.tmem_max_kib = current;
    return;
  }
  if (tmem_ != id) {
    const std::string before = store_.read(TMEM_XS_FLOW_STATE).value_or("");
    const bool known = word_number(before, "tmem-domain") == *id;
    own_kib_ = (known ? word_number(before, "own-kib") : std::nullopt).value_or(own_kib(*at, *seen.service));
    tmem_ = id;
  }
  seen.tmem_own_kib = own_kib_;
  seen.tmem_aim_kib = aim;
  // What it is still to get is as good as gone; what it is still to give may be taken into account when it is there.
  // A domain has a little more than its target, PVH some special pages: that is where it was to come.
  const bool there = current > aim && current - aim < options_.params.slack_kib;
  seen.sample.tmem_current_kib = there ? aim : std::max(current, aim);
  seen.sample.free_kib = above(seen.free_kib, above(aim, current));
  seen.sample.tmem_persistent_kib = std::min(own_kib_ + seen.service->needed_kib, seen.sample.tmem_current_kib);
  seen.tmem_max_kib = std::min(own_kib_ + seen.service->max_kib, number(memory_path(*id) + "/static-max").value_or(UINT64_MAX));
}

// Only who waits has a use for them. A late answer changes nothing.
void Breather::look_at_pages(const Look& seen) {
  if (!seen.tmem || seen.sample.room_kib == 0) return clients_.clear();
  if (!seen.service) return;
  if (auto clients = service_.clients(seen.tmem->id)) clients_ = std::move(*clients);
}

void Breather::look_at_guests(Look& seen) {
  for (const DomainView& domain : seen.domains) {
    if (domain.id == 0 || domain.dying || !domain.has_run || (seen.tmem && domain.id == seen.tmem->id)) continue;
    const auto target = number(memory_path(domain.id) + "/target");
    if (target) seen.sample.guests.push_back(guest(domain, *target, seen));
  }
}

flow::GuestView Breather::guest(const DomainView& domain, uint64_t target_kib, Look& seen) {
  const std::string memory = memory_path(domain.id), keys = "/local/domain/" + std::to_string(domain.id) + "/" TMEM_XS_FLOW_KEYS "/";
  flow::GuestView view;
  view.id = domain.id;
  view.limit_kib = target_kib;
  view.current_kib = above(domain.current_kib, number(memory + "/videoram").value_or(0));
  // Lowered by this program, unless somebody has set it since: then that is the word that counts.
  const std::string uuid = agent::guest_name(store_, domain.id).uuid;
  uint64_t& set_kib = seen.set_kib[domain.id] = target_kib;
  if (const auto lowered = uuid.empty() ? std::nullopt : store_.read(limit_path(uuid))) {
    const auto set = set_before(*lowered, target_kib);
    if (set) set_kib = std::max(target_kib, std::min(*set, number(memory + "/static-max").value_or(*set)));
    else store_.remove(limit_path(uuid));
  }
  view.weight = static_cast<uint32_t>(std::min<uint64_t>(number(keys + "weight").value_or(view.weight), 65535));
  view.buffer_percent = static_cast<uint32_t>(std::min<uint64_t>(number(keys + "buffer").value_or(view.buffer_percent), 100));
  // Only who has been given a minimum is ever asked, and never beside another manager of its memory.
  const auto given = [&](const char* key) { return number(keys + key).value_or(0); };
  const uint64_t min_mib = given("min"), max_mib = given("max");  // 0: none
  const bool others = store_.read(memory + "/dynamic-min").has_value();
  view.max_kib = max_mib != 0 && !others ? std::min(max_mib, set_kib / kMibKib) * kMibKib : set_kib;
  view.min_kib = min_mib != 0 && !others ? std::min(min_mib, view.max_kib / kMibKib) * kMibKib : view.max_kib;
  const auto client = std::find_if(clients_.begin(), clients_.end(), [&](const ServiceClient& c) { return c.uuid == uuid; });
  if (client != clients_.end()) {
    view.pages = client->pages;
    view.pages_min = client->pages_min;
    view.pages_kib = client->kib;
    view.pages_weight = client->weight;
  }
  const bool may_give = seen.sample.room_kib > 0 && (view.min_kib < view.max_kib || view.pages > 0);
  view.migrating = (may_give || view.limit_kib > view.max_kib) && options_.migrates(domain.id, name_of(domain.id));
  return view;
}

// --- who waits for memory -------------------------------------------------------------------------------------------------

// Domains that are being built, beyond the rooms that were asked for, and dom0.
uint64_t Breather::waiting_kib(const Look& seen, uint64_t now_ms) {
  std::map<Domid, Waiting> waiting;
  std::map<std::string, uint64_t> left_kib;
  for (const auto& [id, room] : rooms_) left_kib[id] = room.left_kib;
  uint64_t sum = 0;
  for (const DomainView& domain : seen.domains) {
    uint64_t missing = 0;
    if (domain.id == 0) {  // xl lowers dom0's target to make room for who it is about to start
      missing = above(domain.current_kib, number(memory_path(0) + "/target").value_or(domain.current_kib));
    } else if (domain.paused && !domain.has_run && !domain.dying) {
      missing = above(domain.max_kib, domain.current_kib + domain.claimed_kib);
    }
    for (const auto& [id, room] : rooms_) {
      if (domain.id == 0 || room.before.contains(domain.id)) continue;
      const uint64_t has = std::min(missing, left_kib[id]);
      missing -= has;
      left_kib[id] -= has;
    }
    if (missing <= options_.params.slack_kib) continue;
    const auto before = waiting_.find(domain.id);
    const bool stands = before != waiting_.end() && distance(before->second.missing_kib, missing) < options_.params.slack_kib;
    const Waiting& now = waiting[domain.id] = stands ? before->second : Waiting{missing, now_ms};
    if (now_ms - now.since_ms < kPatienceMs) sum += missing;
  }
  waiting_ = std::move(waiting);
  return sum;
}

// Also by an agent that has been restarted since.
Breather::Room Breather::first_seen(const std::string& id, const Look& seen, uint64_t now_ms) {
  Room room;
  room.asked_ms = now_ms;
  const std::string path = room_path(id) + "/" TMEM_XS_FLOW_BEFORE;
  if (const auto noted = store_.read(path)) {
    std::istringstream in(*noted);
    for (Domid domain = 0; in >> domain;) room.before.insert(domain);
    return room;
  }
  for (const DomainView& domain : seen.domains) room.before.insert(domain.id);
  note_before(id, room);
  return room;
}

void Breather::note_before(const std::string& id, const Room& room) {
  std::string text;
  for (const Domid domain : room.before) text += (text.empty() ? "" : " ") + std::to_string(domain);
  store_.write(room_path(id) + "/" TMEM_XS_FLOW_BEFORE, text, kDom0Only);
}

uint64_t Breather::asked_rooms_kib(const Look& seen, uint64_t now_ms) {
  std::map<std::string, Room> rooms;
  for (const std::string& id : store_.list(TMEM_XS_FLOW_ROOM)) {
    const std::string asked = store_.read(room_path(id)).value_or("");
    const auto kib = word_number(asked, "kib");
    const auto before = rooms_.find(id);
    const auto over = [&](uint64_t since_ms, uint64_t seconds) { return now_ms - since_ms >= seconds * 1000; };
    const bool given_up = before != rooms_.end() && (before->second.told_ms
                                                         ? over(*before->second.told_ms, word_number(asked, "hold").value_or(kRoomHoldS))
                                                         : over(before->second.asked_ms, word_number(asked, "timeout").value_or(kRoomTimeoutS)));
    if (!kib || given_up) {
      store_.remove(room_path(id));
      continue;
    }
    Room room = before != rooms_.end() ? before->second : first_seen(id, seen, now_ms);
    room.left_kib = *kib;
    rooms[id] = std::move(room);
  }
  // Whose room is over has had its memory of that one, not of another.
  for (const auto& [id, over] : rooms_) {
    if (rooms.contains(id) || over.taken_by.empty()) continue;
    for (auto& [other, room] : rooms) {
      room.before.insert(over.taken_by.begin(), over.taken_by.end());
      note_before(other, room);
    }
  }
  rooms_ = std::move(rooms);
  return unused_kib(seen);
}

// What a newcomer has it has of one room: of the oldest that is left.
uint64_t Breather::unused_kib(const Look& seen) {
  std::map<Domid, uint64_t> has_kib;
  for (const DomainView& domain : seen.domains) has_kib[domain.id] = domain.dying ? 0 : domain.current_kib + domain.claimed_kib;
  uint64_t sum = 0;
  for (const std::string& id : oldest_first()) {
    Room& room = rooms_.at(id);
    for (auto& [domain, kib] : has_kib) {
      const uint64_t used = room.before.contains(domain) ? 0 : std::min(kib, room.left_kib);
      room.left_kib -= used;
      kib -= used;
      if (used > 0) room.taken_by.insert(domain);
    }
    sum += room.left_kib;
  }
  return sum;
}

std::vector<std::string> Breather::oldest_first() const {
  std::vector<std::string> ids;
  for (const auto& [id, room] : rooms_) ids.push_back(id);
  std::stable_sort(ids.begin(), ids.end(), [this](const std::string& a, const std::string& b) { return rooms_.at(a).asked_ms < rooms_.at(b).asked_ms; });
  return ids;
}

// --- acting ---------------------------------------------------------------------------------------------------------------

bool Breather::move_tmem(const Look& seen, uint64_t target_kib) {
  if (!seen.tmem || !seen.service) return false;
  const uint64_t own = seen.tmem_own_kib, current = std::min(seen.tmem->current_kib, seen.sample.tmem_current_kib);
  const uint64_t service_kib = std::min(above(std::min(target_kib, current), own), seen.service->max_kib);
  const bool lower = service_kib < seen.service->target_kib;
  // Steps of growth that are not worth a word wait for the next.
  if (lower || service_kib >= seen.service->target_kib + kMibKib) {
    if (!service_.set_memory(seen.tmem->id, service_kib)) return true;
  }
  const uint64_t follows_kib = std::max(target_kib, std::min(own + seen.service->now_kib, current));
  const uint64_t domain_kib = std::min(follows_kib, number(memory_path(seen.tmem->id) + "/static-max").value_or(follows_kib));
  if (domain_kib != seen.tmem_aim_kib) set_target(store_, hypervisor_, seen.tmem->id, domain_kib);
  return seen.service->now_kib > service_kib + kMibKib || distance(domain_kib, current) > options_.params.slack_kib;
}

std::exception_ptr Breather::limit_guests(const Look& seen, const flow::HostPlan& plan) {
  std::exception_ptr failed;
  for (const auto& [guest_id, kib] : plan.limits_kib) {
    const uint32_t id = guest_id;  // a structured binding is not captured
    const auto view = std::find_if(seen.sample.guests.begin(), seen.sample.guests.end(), [&](const flow::GuestView& g) { return g.id == id; });
    if (kib == view->limit_kib) continue;
    try {
      limit(id, kib, view->limit_kib, seen.set_kib.at(id));
    } catch (const HostError&) {
      if (!failed) failed = std::current_exception();
    }
  }
  return failed;
}

// Whenever the agent dies here, the record tells what the target is, and what the administrator had set.
void Breather::limit(Domid domain, uint64_t kib, uint64_t before_kib, uint64_t set_kib) {
  const std::string uuid = agent::guest_name(store_, domain).uuid;
  if (uuid.empty()) return;  // being built, or going
  const std::string record = "max=" + std::to_string(set_kib) + " written=" + std::to_string(kib);
  store_.write(limit_path(uuid), record + " before=" + std::to_string(before_kib), kDom0Only);
  set_target(store_, hypervisor_, domain, kib);
  if (kib >= set_kib) store_.remove(limit_path(uuid));
  else store_.write(limit_path(uuid), record, kDom0Only);
}

// The request is the guest's to read. One that somebody else has written meanwhile is his.
void Breather::ask_for_pages(const Look& seen, const flow::HostPlan& plan) {
  for (const auto& [id, pages] : plan.pages_targets) {
    const std::string target = std::to_string(pages);
    const auto stands = store_.read(pages_target_path(id)), ours = store_.read(pages_path(id));
    if (stands == target || (stands && stands != ours)) continue;
    const Domid guest_id = id;  // a structured binding is not captured
    store_.transaction([&](agent::StoreView& t) {
      if (!agent::is_there(t, guest_id)) return;
      t.write(pages_path(guest_id), target, kDom0Only);
      t.write(pages_target_path(guest_id), target, {0, guest_id});
    });
  }
  for (const std::string& text : store_.list(TMEM_XS_FLOW_PAGES)) {
    const Domid id = static_cast<Domid>(to_number(text).value_or(0));
    if (plan.pages_targets.contains(id)) continue;
    const bool there = std::any_of(seen.domains.begin(), seen.domains.end(), [&](const DomainView& d) { return d.id == id; });
    if (there && store_.read(pages_target_path(id)) == store_.read(pages_path(id))) store_.remove(pages_target_path(id));
    store_.remove(TMEM_XS_FLOW_PAGES "/" + text);
  }
}

// Who asked first has his first; the rest is for the others.
void Breather::answer_rooms(const Look& seen, bool moving, uint64_t now_ms) {
  uint64_t free_kib = above(seen.free_kib, seen.waiting_kib);
  for (const std::string& id : oldest_first()) {
    Room& room = rooms_.at(id);
    const bool made = free_kib >= room.left_kib + (moving ? options_.params.reserve_kib : 0);
    const char* state = made ? "made" : moving ? "making" : "short";
    if (!room.told_ms && (made || !moving)) room.told_ms = now_ms;
    write_if_new(store_, room_path(id) + "/" TMEM_XS_FLOW_ANSWER, std::string("state=") + state + " free-kib=" + std::to_string(free_kib) +
                                                                      " missing-kib=" + std::to_string(above(room.left_kib, free_kib)));
    free_kib = above(free_kib, room.left_kib);
  }
}

void Breather::report(const Look& seen, const flow::HostPlan& plan) {
  std::string text = "free-kib=" + std::to_string(seen.free_kib) + " room-kib=" + std::to_string(seen.sample.room_kib);
  if (seen.tmem) {
    text += " tmem-domain=" + std::to_string(seen.tmem->id);
    if (tmem_ == seen.tmem->id) text += " own-kib=" + std::to_string(own_kib_);  // not known before its service has answered
    text += " tmem-kib=" + std::to_string(seen.tmem->current_kib) + " tmem-target-kib=" + std::to_string(plan.tmem_target_kib);
  }
  for (const auto& [id, progress] : state_.guests) {
    if (progress.stuck) text += " stuck=" + std::to_string(id);
  }
  write_if_new(store_, TMEM_XS_FLOW_STATE, text);
  const std::vector<std::string> limits = store_.list(TMEM_XS_FLOW_LIMIT);
  if (limits.size() <= kLimitsMax) return;
  std::set<std::string> here;
  for (const DomainView& domain : seen.domains) here.insert(agent::guest_name(store_, domain.id).uuid);
  for (const std::string& uuid : limits) {
    if (!here.contains(uuid)) store_.remove(limit_path(uuid));
  }
}

bool holds_any(agent::Store& store) {
  if (store.read(TMEM_XS_FLOW_STATE)) return true;
  const std::vector<std::string> limits = store.list(TMEM_XS_FLOW_LIMIT);
  if (limits.empty()) return false;
  const std::vector<std::string> domains = store.list("/local/domain");
  return std::any_of(domains.begin(), domains.end(), [&](const std::string& name) {
    const auto domain = to_number(name);
    return domain && std::find(limits.begin(), limits.end(), agent::guest_name(store, static_cast<Domid>(*domain)).uuid) != limits.end();
  });
}

void let_go(agent::Store& store, Hypervisor& hypervisor) {
  std::exception_ptr failed;
  for (const DomainView& domain : hypervisor.domains()) {
    const auto pages = store.read(pages_path(domain.id));
    if (pages && store.read(pages_target_path(domain.id)) == pages) store.remove(pages_target_path(domain.id));
    const std::string uuid = agent::guest_name(store, domain.id).uuid;
    const auto record = uuid.empty() || domain.dying || !domain.has_run ? std::nullopt : store.read(limit_path(uuid));
    const auto target = to_number(store.read(memory_path(domain.id) + "/target").value_or(""));
    if (!record || !target) continue;
    try {
      const auto set = set_before(*record, *target), most = to_number(store.read(memory_path(domain.id) + "/static-max").value_or(""));
      if (set) set_target(store, hypervisor, domain.id, std::min(*set, most.value_or(*set)));
      store.remove(limit_path(uuid));
    } catch (const HostError&) {
      if (!failed) failed = std::current_exception();
    }
  }
  store.remove(TMEM_XS_FLOW_PAGES);
  if (failed) std::rethrow_exception(failed);
}

}  // namespace tmem::breathe
