// SPDX-License-Identifier: MIT
// One queue of a Xen guest: its pages mapped by grant references, its event channel bound. Persistent: mapped once, whole
// pages only, until the channel is closed. A later process can map the same references and bind the same port again, unseen
// by the guest; nothing of a channel's state is here.
//
// The guest may rewrite mapped pages at any time, and may die: its pages stay until they are unmapped, so a load never faults.
// Only Xen's stable libraries are used (gnttab, evtchn).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "transport/channel.h"
#include "transport/xen/xen_nodes.h"

struct xengntdev_handle;
struct xenevtchn_handle;

namespace tmem {

// The process's door to granted pages; shared by all channels. Thread-safe: the kernel device is.
class GrantTable {
 public:
  // Null: no /dev/xen/gntdev, or not allowed to open it.
  static std::shared_ptr<GrantTable> open();
  ~GrantTable();
  GrantTable(const GrantTable&) = delete;
  GrantTable& operator=(const GrantTable&) = delete;
  xengntdev_handle* get() const { return handle_; }

 private:
  explicit GrantTable(xengntdev_handle* handle) : handle_(handle) {}
  xengntdev_handle* const handle_;
};

// Pages of one guest, mapped one after the other; unmapped at the end.
class GrantMapping {
 public:
  // Null: the guest did not grant them to us, or there is no room.
  static std::unique_ptr<GrantMapping> map(std::shared_ptr<GrantTable> table, uint32_t domid, const std::vector<uint32_t>& refs, bool writable);
  ~GrantMapping();
  GrantMapping(const GrantMapping&) = delete;
  GrantMapping& operator=(const GrantMapping&) = delete;
  void* address() const { return address_; }

 private:
  GrantMapping(std::shared_ptr<GrantTable> table, void* address, uint32_t pages)
      : table_(std::move(table)), address_(address), pages_(pages) {}
  const std::shared_ptr<GrantTable> table_;
  void* const address_;
  const uint32_t pages_;
};

class XenChannel final : public Channel {
 public:
  // Null: what the guest named could not be mapped or bound; why says which, for the log.
  static std::unique_ptr<XenChannel> create(std::shared_ptr<GrantTable> table, ClientId client, uint32_t domid, XenQueueRef queue,
                                            uint32_t ring_order, std::string& why);
  ~XenChannel() override;

  void notify() override;
  int wait_fd() const override;
  void acknowledge() override;

 private:
  XenChannel(ClientId client, uint32_t ring_order, std::unique_ptr<GrantMapping> mapping, xenevtchn_handle* events, uint32_t port);

  const std::unique_ptr<GrantMapping> mapping_;
  xenevtchn_handle* const events_;  // one for each channel, so that each has a descriptor to wait for
  const uint32_t port_;             // ours
};

}  // namespace tmem
