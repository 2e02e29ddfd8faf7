// SPDX-License-Identifier: MIT
// Both ends of one Xen queue in one process of one domain: the pages are granted to the domain itself, and the event channel
// leads back to it. Needs a Xen domain with gntalloc, gntdev and evtchn.
#pragma once

#include <fcntl.h>
#include <poll.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "channel_pair.h"
#include "transport/xen/xen_channel.h"

extern "C" {
#include <xenevtchn.h>
#include <xengnttab.h>
}

namespace tmem {

class XenPair final : public ChannelPair {
 public:
  XenPair(ClientId client, uint32_t order, uint32_t domid)
      : client_(client), order_(order), domid_(domid), pages_(TMEMIF_QUEUE_PAGES(order)), refs_(pages_ + 1), sharing_(xengntshr_open(nullptr, 0)),
        events_(xenevtchn_open(nullptr, 0)), grants_(GrantTable::open()) {
    if (sharing_ == nullptr || events_ == nullptr || !grants_) fail("the devices of Xen");
    memory_ = static_cast<uint8_t*>(xengntshr_share_pages(sharing_, domid_, static_cast<int>(pages_ + 1), refs_.data(), 1));
    const int port = xenevtchn_bind_unbound_port(events_, domid_);
    if (memory_ == nullptr || port < 0 || ::fcntl(xenevtchn_fd(events_), F_SETFL, O_NONBLOCK) != 0) fail("pages and a port to share");
    port_ = static_cast<uint32_t>(port);
    std::memcpy(memory_ + size_t{pages_} * TMEMIF_PAGE_BYTES, refs_.data(), pages_ * sizeof(uint32_t));
    auto* control = reinterpret_cast<tmemif_ring_control*>(memory_);
    control->request_event = 1;
    control->response_event = 1;
  }
  ~XenPair() override {
    xenevtchn_close(events_);
    xengntshr_unshare(sharing_, memory_, pages_ + 1);
    xengntshr_close(sharing_);
  }

  uint32_t ring_order() const override { return order_; }
  void* front_memory() override { return memory_; }
  void front_rings() override { (void)xenevtchn_notify(events_, port_); }
  bool front_hears(int timeout_ms) override {
    pollfd p{xenevtchn_fd(events_), POLLIN, 0};
    if (::poll(&p, 1, timeout_ms) != 1 || (p.revents & POLLIN) == 0) return false;
    const int port = xenevtchn_pending(events_);
    return port >= 0 && xenevtchn_unmask(events_, static_cast<uint32_t>(port)) == 0;
  }
  std::unique_ptr<Channel> channel() override { return make(); }
  std::unique_ptr<Channel> channel_again() override { return make(); }
  // Null: refused.
  std::unique_ptr<Channel> try_channel() {
    std::string why;
    return XenChannel::create(grants_, client_, domid_, {refs_[pages_], port_}, order_, why);
  }

 private:
  [[noreturn]] static void fail(const char* what) {
    std::perror(what);
    std::abort();
  }
  std::unique_ptr<Channel> make() {
    auto channel = try_channel();
    if (!channel) fail("a channel over them");
    return channel;
  }

  const ClientId client_;
  const uint32_t order_;
  const uint32_t domid_;
  const uint32_t pages_;
  std::vector<uint32_t> refs_;  // the queue's pages, then the directory
  xengntshr_handle* const sharing_;
  xenevtchn_handle* const events_;
  const std::shared_ptr<GrantTable> grants_;
  uint8_t* memory_ = nullptr;
  uint32_t port_ = 0;
};

}  // namespace tmem
