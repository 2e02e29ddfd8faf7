// SPDX-License-Identifier: MIT
#include "daemon/guests/xen_server.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

namespace tmem {

using boost::asio::posix::stream_descriptor;
using boost::system::error_code;

namespace {

// XenbusState, as the nodes hold it.
enum class BusState : uint8_t { kUnknown = 0, kInitialising = 1, kInitWait = 2, kInitialised = 3, kConnected = 4, kClosing = 5, kClosed = 6 };

constexpr const char* kAllGuests = "backend/" TMEM_XS_DEVICE;
constexpr const char* kRelease = "@releaseDomain";

// Of one turn. Events are taken from memory; a look at a guest costs some eight round trips to xenstored.
constexpr uint32_t kEventsPerTurn = 1024;
constexpr uint32_t kGuestsPerTurn = 8;

std::optional<uint32_t> number(const std::string& text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || text.empty() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Whose directory that is a node in; nullopt: nobody's, or a whole directory came or went.
std::optional<uint32_t> guest_of(const std::string& path) {
  const std::string top = std::string(kAllGuests) + "/";
  const size_t end = path.find("/0/", top.size());
  return path.starts_with(top) && end != std::string::npos ? number(path.substr(top.size(), end - top.size())) : std::nullopt;
}

BusState to_state(const std::string& text) {
  const auto value = number(text);
  return value && *value <= static_cast<uint32_t>(BusState::kClosed) ? static_cast<BusState>(*value) : BusState::kUnknown;
}

}  // namespace

struct XenServer::Guest {
  explicit Guest(uint32_t d)
      : domid(d), back(std::string(kAllGuests) + "/" + std::to_string(d) + "/0"),
        front("/local/domain/" + std::to_string(d) + "/device/" TMEM_XS_DEVICE "/0") {}

  const uint32_t domid;
  const std::string back;
  const std::string front;
  bool watched = false;
  uint32_t busy = 0;               // answers of shards that are awaited, each of which comes back to this very guest
  bool suspended = false;          // its last word: it will be back. Kept here, because its nodes go before its domain does
  std::optional<ClientId> client;  // connected as
  std::string policy;              // that was applied
};

// The shared boundary to Asio: xenstored's descriptor stays its library's.
struct XenServer::Events {
  Events(boost::asio::io_context& io, int fd) : descriptor(io, fd) {}
  ~Events() { descriptor.release(); }
  stream_descriptor descriptor;
};

struct XenServer::Handshake {
  XenGuest guest;
  XenConnect connect;
  std::vector<XenQueueRef> queues;
  XenIdentity identity;
};

XenServer::XenServer(boost::asio::io_context& io, ClientRegistry& registry, ClientLife& life, ShardSet& shards, const Config& config, Observer observer)
    : io_(io), registry_(registry), life_(life), shards_(shards), ring_order_max_(config.ring_order_max), observer_(std::move(observer)) {}

XenServer::~XenServer() = default;

bool XenServer::open(std::string& why) {
  store_ = XenStore::open();
  grants_ = store_ ? GrantTable::open() : nullptr;
  if (grants_) return true;
  why = store_ ? "granted pages cannot be mapped here (is xen-gntdev loaded?)" : "no xenstored answers here";
  store_.reset();
  return false;
}

XenService XenServer::service_figures() const { return {shards_.count(), ring_order_max_, shards_.generation()}; }

std::string XenServer::read(const std::string& path) { return store_->read(path).value_or(""); }

XenServer::Guest& XenServer::guest(uint32_t domid) {
  std::unique_ptr<Guest>& at = guests_[domid];
  if (!at) at = std::make_unique<Guest>(domid);
  return *at;
}

// ---- events ----

void XenServer::listen() {
  if (!store_) return;
  store_->watch(kAllGuests, kAllGuests);
  store_->watch(kRelease, kRelease);  // dom0 may not have allowed it: then the agent's removal of the directory tells us
  events_ = std::make_unique<Events>(io_, store_->fd());
  scan();
  if (events_) wait();
}

void XenServer::close() { events_.reset(); }

void XenServer::wait() {
  events_->descriptor.async_wait(stream_descriptor::wait_read, [this](const error_code& error) {
    if (!error && events_) take_events();
  });
}

// Tokens are the name of the watch, or a guest's number. A node of a guest that we know, our own writes too, concerns that guest;
// anything else may concern all. Whatever happened, step() finds out from the nodes. What is not taken
// now keeps the descriptor readable.
void XenServer::take_events() {
  bool all = false;
  for (uint32_t taken = 0; taken < kEventsPerTurn; ++taken) {
    const auto event = store_->next_event();
    if (!event) break;
    const auto domid = event->token == kAllGuests ? guest_of(event->path) : number(event->token);
    if (domid && (event->token != kAllGuests || guests_.contains(*domid))) due_.insert(*domid);
    else all = true;
  }
  if (all) scan();
  serve_due();
  if (in_touch()) wait();
}

// False: what cannot be read says nothing about a guest; from now on nothing is done about any.
bool XenServer::in_touch() {
  if (!events_ || !store_->lost()) return events_ != nullptr;
  events_.reset();
  observer_.lost();
  return false;
}

void XenServer::serve_soon() {
  if (std::exchange(serving_soon_, true)) return;
  boost::asio::post(io_, [this] {
    serving_soon_ = false;
    serve_due();
  });
}

// In turn by number, so that no guest is overtaken twice by one that is due again and again.
void XenServer::serve_due() {
  for (uint32_t served = 0; in_touch() && served < kGuestsPerTurn && !due_.empty(); ++served) {
    auto next = due_.upper_bound(last_served_);
    if (next == due_.end()) next = due_.begin();
    last_served_ = *next;
    due_.erase(next);
    const auto at = guests_.find(last_served_);
    if (at != guests_.end()) step(*at->second);
  }
  if (!due_.empty()) serve_soon();
}

void XenServer::scan() {
  if (!in_touch()) return;
  std::vector<uint32_t> present;
  for (const std::string& name : store_->list(kAllGuests)) {
    const auto domid = number(name);
    if (!domid || !store_->read(std::string(kAllGuests) + "/" + name + "/0/" TMEM_XS_STATE)) continue;
    present.push_back(*domid);
    guest(*domid);
    due_.insert(*domid);
  }
  if (!in_touch()) return;
  forget_missing(present);
  if (!due_.empty()) serve_soon();
}

void XenServer::forget_missing(const std::vector<uint32_t>& present) {
  for (auto at = guests_.begin(); at != guests_.end();) {
    Guest& gone = *at->second;
    if (gone.busy != 0 || std::find(present.begin(), present.end(), gone.domid) != present.end()) {
      ++at;
      continue;
    }
    if (gone.client) {
      ++at;
      end(gone, [this] { scan(); });
      continue;
    }
    if (gone.watched) store_->unwatch(gone.front, std::to_string(gone.domid));
    at = guests_.erase(at);
  }
}

// ---- one guest ----

void XenServer::step(Guest& guest) {
  if (guest.busy != 0) return;
  if (!guest.watched) guest.watched = store_->watch(guest.front, std::to_string(guest.domid));
  const BusState ours = to_state(read(guest.back + "/" TMEM_XS_STATE));
  const BusState theirs = to_state(read(guest.front + "/" TMEM_XS_STATE));
  const bool online = read(guest.back + "/" TMEM_XS_ONLINE) == "1";
  const bool leaving = theirs == BusState::kClosing || theirs == BusState::kClosed;
  if (guest.client) hear(guest, theirs == BusState::kConnected);
  const bool gone = guest.client && is_gone(guest);
  if (!in_touch()) return;
  if (!online || (leaving && ours != BusState::kClosed) || gone) return shut(guest, online);
  if (guest.client) {
    // Its driver starts over, or saw us in InitWait before.
    if (theirs == BusState::kInitialising || ours != BusState::kConnected) return end(guest, [this, &guest] { step(guest); });
    apply_name(guest);
    return apply_policy(guest);
  }
  if (ours == BusState::kInitWait && theirs == BusState::kInitialised) return connect(guest);
  if (ours == BusState::kInitWait && theirs != BusState::kUnknown) return;
  if (ours == BusState::kClosed && theirs != BusState::kInitialising) return;
  offer(guest);
}

// A tmem domain may not ask xenstored; libxl removes a dead guest's nodes, and who removes its own is gone for us, too.
bool XenServer::is_gone(const Guest& guest) {
  const bool gone = store_->is_gone(guest.domid) || to_state(read(guest.front + "/" TMEM_XS_STATE)) == BusState::kUnknown;
  return gone && !store_->lost();
}

void XenServer::hear(Guest& guest, bool connected) {
  const auto identity = parse_xen_identity(read(guest.front + "/" TMEM_XS_IDENTITY));
  if (identity) guest.suspended = identity->suspended;
  const bool said = registry_.said(*guest.client, guest.suspended);
  // It read our epoch before it said Connected; so an image of it that knows only the one before is an old one.
  const bool confirmed = connected && registry_.confirm(*guest.client);
  if (said || confirmed) life_.write_identity(*guest.client);
}

void XenServer::offer(Guest& guest) {
  const std::string service = format_xen_service(service_figures());
  if (read(guest.back + "/" TMEM_XS_SERVICE) != service) store_->write(guest.back + "/" TMEM_XS_SERVICE, service);
  if (to_state(read(guest.back + "/" TMEM_XS_STATE)) != BusState::kInitWait) store_->write(guest.back + "/" TMEM_XS_STATE, "2");
}

bool XenServer::read_handshake(const Guest& guest, Handshake& out, std::string& why) {
  const auto who = parse_xen_guest(read(guest.back + "/" TMEM_XS_GUEST));
  const auto connect = parse_xen_connect(read(guest.front + "/" TMEM_XS_CONNECT), shards_.count(), ring_order_max_);
  const auto queues = connect ? parse_xen_queues(read(guest.front + "/" TMEM_XS_QUEUES), connect->queues) : std::nullopt;
  const auto identity = parse_xen_identity(read(guest.front + "/" TMEM_XS_IDENTITY));
  if (!who) why = "dom0's guest node is malformed";
  else if (!connect) why = "its connect node is malformed or asks for what is not served";
  else if (!queues) why = "its queues node is malformed";
  else if (!identity) why = "its identity node is malformed";
  else out = {*who, *connect, *queues, *identity};
  return who && connect && queues && identity;
}

bool XenServer::admit(Guest& guest, const Handshake& handshake, bool& resumed) {
  ClientHello hello;
  hello.uuid = handshake.guest.uuid;
  hello.nonce = handshake.identity.nonce;
  hello.epoch = handshake.identity.epoch;
  hello.name = handshake.guest.name;
  hello.transport = "xen";
  hello.queues = handshake.connect.queues;
  hello.by_host = true;
  hello.wanted_id = ClientId(guest.domid);
  Admission admission = registry_.admit(hello);
  if (admission.outcome == Admission::Outcome::kInUse) {
    // The guest may have come back under a new number before the old one has ended, or before we heard of it. Who said that it would
    // be back has ended for us: where an image is resumed on its own host, the old domain may still be there.
    const auto old = std::find_if(guests_.begin(), guests_.end(), [&](const auto& g) { return g.second->client == admission.id; });
    if (old == guests_.end() || (!old->second->suspended && !is_gone(*old->second))) return false;
    end(*old->second, [] {});
    admission = registry_.admit(hello);
  }
  if (admission.freed) life_.free(*admission.freed);
  resumed = admission.outcome == Admission::Outcome::kResumed;
  if (!resumed && admission.outcome != Admission::Outcome::kFresh) return false;
  guest.client = admission.id;
  guest.suspended = false;
  return true;
}

void XenServer::connect(Guest& guest) {
  Handshake handshake;
  std::string why;
  bool resumed = false;
  const bool understood = read_handshake(guest, handshake, why);
  if (!in_touch()) return;
  if (!understood) return refuse(guest, why);
  if (!admit(guest, handshake, resumed)) return refuse(guest, "its uuid is connected already, or the limit of clients is reached");
  ++guest.busy;
  life_.attach(*guest.client, [this, &guest, handshake, resumed](bool attached) {
    --guest.busy;
    if (!guest.client) return;  // let go meanwhile
    if (!attached) return not_connected(guest, "a shard has no memory for it", resumed);
    map(guest, handshake, resumed);
  });
  // Behind the attach on each shard and before its ring, which may be full when it is opened.
  guest.policy.clear();
  apply_policy(guest);
}

std::vector<std::unique_ptr<Channel>> XenServer::map_queues(const Guest& guest, ClientId client, const Handshake& handshake, std::string& why) {
  std::vector<std::unique_ptr<Channel>> channels;
  for (const XenQueueRef& queue : handshake.queues) {
    auto channel = XenChannel::create(grants_, client, guest.domid, queue, handshake.connect.ring_order, why);
    if (!channel) return {};
    channels.push_back(std::move(channel));
  }
  return channels;
}

void XenServer::map(Guest& guest, const Handshake& handshake, bool resumed) {
  std::string why;
  auto channels = map_queues(guest, *guest.client, handshake, why);
  if (channels.empty()) return not_connected(guest, why, resumed);
  ++guest.busy;
  life_.open_channels(std::move(channels), [this, &guest, resumed](bool opened) {
    --guest.busy;
    if (!guest.client) return;  // a shard found its ring broken at the first look
    if (!opened) return not_connected(guest, "a shard has no descriptors for it", resumed);
    connected(guest, resumed);
  });
}

void XenServer::connected(Guest& guest, bool resumed) {
  const ClientEntry* entry = registry_.find(*guest.client);
  if (entry == nullptr) return refuse(guest, "it was freed meanwhile");
  store_->write(guest.back + "/" TMEM_XS_SERVICE, format_xen_service(service_figures(), resumed, entry->epoch));
  store_->write(guest.back + "/" TMEM_XS_STATE, "4");
  observer_.attached(*entry, guest.domid, resumed);
  step(guest);  // what happened meanwhile
}

// dom0's word; applied at each connection and whenever it changes.
void XenServer::apply_policy(Guest& guest) {
  const std::string text = read(guest.back + "/" TMEM_XS_POLICY);
  const auto policy = parse_xen_policy(text);
  ClientEntry* entry = registry_.find(*guest.client);
  if (text == guest.policy || !policy || entry == nullptr) return;
  guest.policy = text;
  ClientPolicy wanted = entry->policy;
  wanted.weight = policy->weight.value_or(wanted.weight);
  wanted.cap_pages = policy->cap_pages.value_or(wanted.cap_pages);
  wanted.min_pages = policy->min_pages.value_or(wanted.min_pages);
  wanted.compress = policy->compress.value_or(wanted.compress);
  life_.set_policy(entry->id, wanted, entry->dedup_group, [this, domid = guest.domid, client = entry->id](bool written) {
    if (written) return;
    log(LogLevel::kWarning, "a guest's policy is unchanged: no room to write it down; raise the memory", {{"client", client.value()}});
    const auto at = guests_.find(domid);
    if (at != guests_.end()) at->second->policy.clear();  // once more when it is looked at next
  });
  life_.authorise(entry->id, policy->shared);
}

// A domain can be renamed while it runs.
void XenServer::apply_name(const Guest& guest) {
  const auto who = parse_xen_guest(read(guest.back + "/" TMEM_XS_GUEST));
  ClientEntry* entry = registry_.find(*guest.client);
  if (!who || entry == nullptr || who->uuid != entry->uuid || who->name == entry->name) return;
  entry->name = who->name;
  life_.write_identity(entry->id);
}

void XenServer::refuse(Guest& guest, const std::string& why) {
  observer_.refused(guest.domid, why);
  guest.suspended = false;
  end(guest, [this, &guest] { store_->write(guest.back + "/" TMEM_XS_STATE, "6"); });
}

// resumed: the guest had pools here, and its new connection never served: they are not to pay for that.
void XenServer::not_connected(Guest& guest, const std::string& why, bool resumed) {
  if (!resumed || !guest.client) return refuse(guest, why);
  leave_pools(guest, [this, &guest, why] { refuse(guest, why); });
}

// As if there had been no connection; its pools wait for the next.
void XenServer::leave_pools(Guest& guest, std::function<void()> then) {
  const ClientId client = *std::exchange(guest.client, std::nullopt);
  registry_.resume_failed(client, monotonic_seconds());
  life_.write_identity(client);
  ++guest.busy;
  life_.close_channels(client, [&guest, then = std::move(then)] {
    --guest.busy;
    then();
  });
}

// The guest is told only when its pages are unmapped: it wants to use them for other things then.
void XenServer::end(Guest& guest, std::function<void()> then) {
  if (!guest.client) return then();
  const ClientId client = *std::exchange(guest.client, std::nullopt);
  const ClientEntry* entry = registry_.find(client);
  if (entry != nullptr) observer_.detached(*entry, guest.suspended);
  ++guest.busy;
  auto done = [&guest, then = std::move(then)] {
    --guest.busy;
    then();
  };
  if (registry_.disconnected(client, guest.suspended, monotonic_seconds())) return life_.free(client, std::move(done));
  life_.write_identity(client);
  life_.close_channels(client, std::move(done));
}

void XenServer::shut(Guest& guest, bool online) {
  end(guest, [this, &guest, online] {
    if (to_state(read(guest.back + "/" TMEM_XS_STATE)) != BusState::kClosed) store_->write(guest.back + "/" TMEM_XS_STATE, "6");
    if (!online) store_->remove(guest.back);
  });
}

void XenServer::drop(ClientId client) {
  for (const auto& [domid, guest] : guests_) {
    if (guest->client == client) return refuse(*guest, "its ring is nonsense");
  }
}

// ---- after a restart ----

// A guest that said it would be back uses its rings until its processors stop, and could not connect anew then: the thread that
// would is the one that suspends. Grants of a domain that is gone cannot be mapped, and its client waits as it did.
bool XenServer::adopt_one(Guest& guest) {
  Handshake handshake;
  std::string why;
  if (to_state(read(guest.back + "/" TMEM_XS_STATE)) != BusState::kConnected || !read_handshake(guest, handshake, why)) return false;
  const auto found = std::find_if(registry_.entries().begin(), registry_.entries().end(), [&](const auto& e) {
    return e.second.awaited() && e.second.uuid == handshake.guest.uuid && e.second.nonce == handshake.identity.nonce;
  });
  if (found == registry_.entries().end()) return false;
  const ClientId client = found->first;
  auto channels = map_queues(guest, client, handshake, why);
  if (channels.empty() || !registry_.reconnected(client, "xen", handshake.connect.queues)) return false;
  guest.client = client;
  guest.suspended = handshake.identity.suspended;
  // Applied by the service before us; the arena has it, and what the operator has said since. Only a new word of dom0 counts.
  guest.policy = read(guest.back + "/" TMEM_XS_POLICY);
  adopted_[client] = std::move(channels);
  return true;
}

void XenServer::give_up(ClientId client) {
  for (const auto& [domid, guest] : guests_) {
    if (guest->client == client) return leave_pools(*guest, [this, &guest = *guest] { step(guest); });
  }
}

void XenServer::adopt() {
  if (!store_) return;
  for (const std::string& name : store_->list(kAllGuests)) {
    const auto domid = number(name);
    if (domid) adopt_one(guest(*domid));
  }
}

}  // namespace tmem
