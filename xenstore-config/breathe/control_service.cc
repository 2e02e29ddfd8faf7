// SPDX-License-Identifier: MIT
#include "breathe/control_service.h"

#include <chrono>
#include <utility>

#include "tools/tmemctl/control_client.h"

namespace tmem::breathe {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kAnswer{3000};
constexpr std::chrono::seconds kRetry{3};
constexpr uint64_t kKib = 1024;
constexpr uint64_t kShardLeastKib = 4096;  // a shard; the service refuses less

class ControlService final : public Service {
 public:
  explicit ControlService(std::function<void(const std::string&)> complain) : complain_(std::move(complain)) {}

  std::optional<ServiceMemory> memory(Domid domain) override {
    control::Request info, freeable;
    info.mutable_info();
    freeable.mutable_freeable();
    const auto reply = call(domain, std::move(info)), free = call(domain, std::move(freeable));
    if (!reply || !free) return std::nullopt;
    ServiceMemory memory;
    for (const control::Shard& shard : reply->info().shards()) {
      memory.now_kib += shard.memory_bytes() / kKib;
      memory.target_kib += shard.memory_bytes_target() / kKib;
      memory.least_kib += kShardLeastKib;
    }
    memory.max_kib = reply->info().memory_bytes_max() / kKib;
    const uint64_t droppable = free->freeable().bytes() / kKib;
    memory.needed_kib = memory.now_kib > droppable ? memory.now_kib - droppable : 0;
    return memory;
  }

  std::optional<std::vector<ServiceClient>> clients(Domid domain) override {
    control::Request request;
    request.mutable_list_clients();
    const auto reply = call(domain, std::move(request));
    if (!reply) return std::nullopt;
    std::vector<ServiceClient> clients;
    for (const control::Client& client : reply->list_clients().clients()) {
      if (client.state() != control::Client::CONNECTED) continue;
      const control::SpaceStats& space = client.space();
      const uint64_t pages = space.pages_persistent(), all = pages + space.pages_ephemeral();
      const uint64_t kib = all == 0 ? 0 : space.bytes_compressed() / kKib * pages / all;
      clients.push_back({client.uuid(), client.policy().weight(), pages, client.policy().min_pages(), kib});
    }
    return clients;
  }

  bool set_memory(Domid domain, uint64_t kib) override {
    control::Request request;
    request.mutable_set_memory()->set_bytes(kib * kKib);
    return call(domain, std::move(request)).has_value();
  }

 private:
  std::optional<control::Reply> call(Domid domain, control::Request request) {
    if (domain != domain_) client_.reset();
    if (!client_ && domain == domain_ && Clock::now() < again_) return std::nullopt;
    domain_ = domain;
    try {
      if (!client_) client_ = std::make_unique<tool::ControlClient>(tool::connect_domain(domain, "", kAnswer), kAnswer);
      control::Reply reply = client_->call(std::move(request));
      silent_ = false;
      return reply;
    } catch (const std::exception& error) {
      if (!std::exchange(silent_, true)) complain_(std::string(error.what()) + "; its memory stays as it is until it answers");
      client_.reset();
      again_ = Clock::now() + kRetry;
      return std::nullopt;
    }
  }

  std::function<void(const std::string&)> complain_;
  std::unique_ptr<tool::ControlClient> client_;
  Domid domain_ = 0;
  Clock::time_point again_{};
  bool silent_ = false;
};

}  // namespace

std::unique_ptr<Service> open_service(std::function<void(const std::string&)> complain) { return std::make_unique<ControlService>(std::move(complain)); }

}  // namespace tmem::breathe
