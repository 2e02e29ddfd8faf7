// SPDX-License-Identifier: MIT
#include "agent/attach.h"

#include <syslog.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "tmem/tmem_xs.h"

namespace tmem::agent {
namespace {

constexpr const char* kInitialising = "1";
constexpr const char* kClosing = "5";
constexpr const char* kClosed = "6";
constexpr std::chrono::seconds kBuilding{30};  // from a domain's directory to its name

std::string domain_path(Domid domain) { return "/local/domain/" + std::to_string(domain); }

std::optional<Domid> to_domid(const std::string& text) {
  Domid value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::vector<Domid> domains(StoreView& store) {
  std::vector<Domid> ids;
  for (const std::string& name : store.list("/local/domain")) {
    if (const auto id = to_domid(name)) ids.push_back(*id);
  }
  return ids;
}

std::string guest_to_node(const GuestName& name) { return "uuid=" + name.uuid + " name=" + name.name; }

std::string wish_path(Domid guest) { return std::string(kWishes) + "/" + std::to_string(guest); }

std::string parent(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

std::string backend_path(Domid backend, Domid guest) {
  return domain_path(backend) + "/backend/" TMEM_XS_DEVICE "/" + std::to_string(guest) + "/0";
}
std::string frontend_path(Domid guest) { return domain_path(guest) + "/device/" TMEM_XS_DEVICE "/0"; }

// As xl has it: what is a number is never a name.
std::optional<Domid> find_domain(StoreView& store, const std::string& name_or_id) {
  if (const auto id = to_domid(name_or_id)) return *id == 0 || store.read(domain_path(*id) + "/name") ? id : std::nullopt;
  for (const Domid id : domains(store)) {
    if (store.read(domain_path(id) + "/name") == name_or_id) return id;
  }
  return std::nullopt;
}

bool is_there(StoreView& transaction, Domid guest) { return transaction.read(domain_path(guest) + "/name").has_value(); }

// A domain that xl moves is called something else until it runs at the other end; its guest is the same.
GuestName guest_name(StoreView& store, Domid guest) {
  GuestName result;
  result.name = store.read(domain_path(guest) + "/name").value_or("");
  for (const std::string suffix : {"--incoming", "--migratedaway"}) {
    if (result.name.size() > suffix.size() && result.name.ends_with(suffix)) result.name.resize(result.name.size() - suffix.size());
  }
  const std::string vm = store.read(domain_path(guest) + "/vm").value_or("");
  if (vm.rfind("/vm/", 0) == 0) result.uuid = vm.substr(4, 36);
  return result;
}

void attach(Store& store, Domid backend, Domid guest, const GuestName& name, const GuestPolicy& policy) {
  const std::string back = backend_path(backend, guest), front = frontend_path(guest);
  const Permissions of_backend{backend, guest}, of_guest{guest, backend};
  const Permissions above_backend{0, backend}, above_guest{0, guest};
  store.transaction([&](StoreView& t) {
    if (!is_there(t, guest)) return;
    t.write(parent(parent(back)), "", above_backend);
    t.write(parent(back), "", above_backend);
    t.write(parent(front), "", above_guest);
    t.write(back, "", of_backend);
    t.write(back + "/" TMEM_XS_FRONTEND, front, of_backend);
    t.write(back + "/" TMEM_XS_FRONTEND_ID, std::to_string(guest), of_backend);
    t.write(back + "/" TMEM_XS_ONLINE, "1", of_backend);
    t.write(back + "/" TMEM_XS_GUEST, guest_to_node(name), of_backend);
    t.write(back + "/" TMEM_XS_POLICY, policy_to_node(policy), of_backend);
    t.write(back + "/" TMEM_XS_STATE, kInitialising, of_backend);
    t.write(front, "", of_guest);
    t.write(front + "/" TMEM_XS_BACKEND, back, of_guest);
    t.write(front + "/" TMEM_XS_BACKEND_ID, std::to_string(backend), of_guest);
    t.write(front + "/" TMEM_XS_STATE, kInitialising, of_guest);
  });
}

void detach(Store& store, Domid backend, Domid guest) {
  const std::string back = backend_path(backend, guest);
  store.transaction([&](StoreView& t) {
    if (!t.read(back + "/" TMEM_XS_STATE)) return;
    const Permissions of_backend{backend, guest};
    t.write(back + "/" TMEM_XS_ONLINE, "0", of_backend);
    t.write(back + "/" TMEM_XS_STATE, kClosing, of_backend);
  });
}

Reconciler::Reconciler(Store& store, Options options, Log log) : store_(store), options_(std::move(options)), log_(std::move(log)) {}

Reconciler::Known& Reconciler::known_guest(Domid guest, const GuestName& name) {
  const auto at = known_.find(guest);
  if (at != known_.end() && at->second.name == name) return at->second;
  const bool renamed = at != known_.end() && at->second.name.uuid == name.uuid;
  const bool tuned = renamed && at->second.tuned;
  std::vector<PolicyError> errors;
  const FoundPolicy found = find_policy(options_.places, name, options_.fallback, errors);
  for (const PolicyError& error : errors) log_(LOG_WARNING, "guest '" + name.name + "': " + error.text);
  Known& known = known_[guest] = {name, found.policy, to_string(found.source) + (found.file.empty() ? std::string() : " " + found.file), "", tuned};
  if (found.source == PolicySource::kGuestFile || found.source == PolicySource::kXlConfig) keep(known);
  return known;
}

void Reconciler::keep(const Known& known) {
  try {
    write_record(options_.places, known.name.uuid, known.policy);
  } catch (const std::exception& error) {
    log_(LOG_WARNING, "guest '" + known.name.name + "': policy will not be kept for its next start: " + error.what());
  }
}

// What was found for it, or what an operator has said since.
Reconciler::Known& Reconciler::policy_of(Domid guest, const GuestName& name) {
  Known& known = known_guest(guest, name);
  const std::string path = wish_path(guest);
  const std::string wish = store_.read(path).value_or("");
  if (wish == known.wish && (wish.empty() || store_.read(path + "/" + kWishAnswer))) return known;
  known.wish = wish;
  if (wish.empty()) return known;
  std::vector<PolicyError> errors;
  const auto policy = policy_after_wish(wish, known.policy, errors);
  for (const PolicyError& error : errors) log_(LOG_WARNING, "guest '" + name.name + "': " + error.text);
  if (policy) {
    known.policy = *policy;
    known.from = "an operator";
    keep(known);
  }
  known.answer = policy ? "done" : "refused: " + errors.front().text;
  return known;
}

bool Reconciler::reconcile_guest(Domid backend, Domid guest) {
  const GuestName name = guest_name(store_, guest);
  if (name.name.empty() || name.uuid.empty()) return is_leftover(guest);  // else being built: libxl has not got that far
  nameless_.erase(guest);
  Known& known = policy_of(guest, name);
  const bool settled = known.policy.enabled ? settle_attached(backend, guest, known) : settle_detached(backend, guest, name);
  if (!known.answer.empty()) store_.write(wish_path(guest) + "/" + kWishAnswer, std::exchange(known.answer, ""), {});
  return settled;
}

bool Reconciler::settle_detached(Domid backend, Domid guest, const GuestName& name) {
  const std::string back = backend_path(backend, guest), front = frontend_path(guest);
  const bool has_back = store_.read(back + "/" TMEM_XS_FRONTEND).has_value();
  if (has_back && store_.read(back + "/" TMEM_XS_ONLINE) == "1") {
    detach(store_, backend, guest);
    log_(LOG_INFO, "guest '" + name.name + "' (dom " + std::to_string(guest) + ") detaches");
  }
  if (has_back) return false;  // until the backend has closed and removed its directory
  if (store_.read(front + "/" TMEM_XS_BACKEND) == back) store_.remove(front);
  return true;
}

// A directory without a domain, that somebody wrote to when libxl had just taken it away. It is seen when it gets a name.
bool Reconciler::is_leftover(Domid guest) {
  const auto now = std::chrono::steady_clock::now();
  return now - nameless_.try_emplace(guest, now).first->second > kBuilding;
}

bool Reconciler::settle_attached(Domid backend, Domid guest, const Known& known) {
  const std::string back = backend_path(backend, guest), front = frontend_path(guest);
  const bool has_back = store_.read(back + "/" TMEM_XS_FRONTEND).has_value();
  const bool has_front = store_.read(front + "/" TMEM_XS_BACKEND) == back;
  const bool online = store_.read(back + "/" TMEM_XS_ONLINE) == "1";
  if (has_back && has_front && online) {
    const std::string policy = policy_to_node(known.policy);
    if (store_.read(back + "/" TMEM_XS_POLICY) != policy) store_.write(back + "/" TMEM_XS_POLICY, policy, {backend, guest});
    const std::string who = guest_to_node(known.name);
    if (store_.read(back + "/" TMEM_XS_GUEST) != who) store_.write(back + "/" TMEM_XS_GUEST, who, {backend, guest});
    return true;
  }
  if (has_back && !online && store_.read(back + "/" TMEM_XS_STATE) != kClosed) return false;  // closes first
  if (has_back || store_.read(front + "/" TMEM_XS_BACKEND)) {
    // Leftovers, of another service domain most likely. The guest has to see the old device go before a new one comes, or
    // it takes the new one for the old; so the new one has to wait for the next round.
    store_.remove(front);
    store_.remove(back);
    return false;
  }
  attach(store_, backend, guest, known.name, known.policy);
  log_(LOG_INFO, "guest '" + known.name.name + "' (dom " + std::to_string(guest) + ") attached to dom " + std::to_string(backend) + ", policy from " + known.from);
  return true;
}

// The tuning goes to every guest that has some, whether it is attached or not and whether there is a service or not; but once,
// as from then on it is the operator's.
void Reconciler::carry(Domid guest) {
  const GuestName name = guest_name(store_, guest);
  if (name.name.empty() || name.uuid.empty()) return;
  Known& known = known_guest(guest, name);
  if (std::exchange(known.tuned, true)) return;
  if (carry_tuning(store_, guest, known.policy.tuning))
    log_(LOG_INFO, "guest '" + name.name + "' (dom " + std::to_string(guest) + "): tuning of its self-ballooning written to " + tuning_path(guest));
  if (carry_flow(store_, guest, known.policy.flow))
    log_(LOG_INFO, "guest '" + name.name + "' (dom " + std::to_string(guest) + "): its part in the host's policy of memory written to " + flow_path(guest));
}

// Leftovers of guests that are gone: libxl knows nothing of this device class and leaves the backend's directory behind.
void Reconciler::remove_stale(Domid backend, const std::vector<Domid>& present) {
  const auto gone = [&](Domid id) { return std::find(present.begin(), present.end(), id) == present.end(); };
  const std::string all = domain_path(backend) + "/backend/" TMEM_XS_DEVICE;
  for (const std::string& text : store_.list(all)) {
    const auto guest = to_domid(text);
    if (guest && gone(*guest)) store_.remove(all + "/" + text);
  }
  for (const std::string& text : store_.list(kWishes)) {
    const auto guest = to_domid(text);
    if (!guest || gone(*guest)) store_.remove(std::string(kWishes) + "/" + text);
  }
  std::erase_if(nameless_, [&](const auto& one) { return gone(one.first); });
  forget_gone(gone);
}

void Reconciler::forget_gone(const std::function<bool(Domid)>& gone) {
  const size_t before = known_.size();
  std::vector<std::string> living;
  for (auto it = known_.begin(); it != known_.end();) {
    const std::string& uuid = it->second.name.uuid;
    if (gone(it->first)) age_record(options_.places, uuid);
    else living.push_back(uuid);
    it = gone(it->first) ? known_.erase(it) : std::next(it);
  }
  const size_t dropped = known_.size() != before ? drop_old_records(options_.places, living) : 0;
  if (dropped != 0) log_(LOG_INFO, std::to_string(dropped) + " policies of guests that are long gone are forgotten");
}

void Reconciler::adopt_backend(Domid backend) {
  if (backend_ == backend) return;
  if (backend != 0) store_.allow_release_watch(backend);
  if (store_.read(TMEM_XS_SERVICE_DOMAIN) != std::to_string(backend)) store_.write(TMEM_XS_SERVICE_DOMAIN, std::to_string(backend), {});
  backend_ = backend;
  log_(LOG_INFO, "the service's domain is '" + options_.backend_domain + "' (dom " + std::to_string(backend) + ")");
}

bool Reconciler::reconcile() {
  const std::vector<Domid> present = domains(store_);
  for (const Domid guest : present) {
    if (guest != 0) carry(guest);
  }
  const auto backend = find_domain(store_, options_.backend_domain);
  if (!backend) {
    if (backend_) log_(LOG_WARNING, "the service's domain '" + options_.backend_domain + "' is gone; guests go on without tmem");
    backend_.reset();
    store_.remove(TMEM_XS_SERVICE_DOMAIN);
    remove_stale(0, present);
    for (const Domid guest : present) store_.remove(frontend_path(guest));  // so that the guests know, too
    return true;
  }
  adopt_backend(*backend);
  remove_stale(*backend, present);
  bool settled = true;
  for (const Domid guest : present) {
    if (guest != 0 && guest != *backend) settled &= reconcile_guest(*backend, guest);
  }
  return settled;
}

}  // namespace tmem::agent
