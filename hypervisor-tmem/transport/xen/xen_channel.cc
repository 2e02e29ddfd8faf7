// SPDX-License-Identifier: MIT
#include "transport/xen/xen_channel.h"

#include <fcntl.h>
#include <sys/mman.h>

extern "C" {  // the headers do not say so themselves
#include <xenevtchn.h>
#include <xengnttab.h>
}

#include <cerrno>
#include <cstring>
#include <endian.h>

namespace tmem {
namespace {

std::string because(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

// The references of a queue's pages, copied out of the guest's directory page, which is mapped for that long only.
std::vector<uint32_t> read_directory(const std::shared_ptr<GrantTable>& table, uint32_t domid, uint32_t directory, uint32_t pages) {
  std::vector<uint32_t> refs;
  const auto mapping = GrantMapping::map(table, domid, {directory}, false);
  if (!mapping) return refs;
  const auto* words = static_cast<const volatile uint32_t*>(mapping->address());
  for (uint32_t i = 0; i < pages; ++i) refs.push_back(le32toh(words[i]));
  return refs;
}

}  // namespace

std::shared_ptr<GrantTable> GrantTable::open() {
  xengntdev_handle* handle = xengnttab_open(nullptr, 0);
  return handle ? std::shared_ptr<GrantTable>(new GrantTable(handle)) : nullptr;
}

GrantTable::~GrantTable() { xengnttab_close(handle_); }

std::unique_ptr<GrantMapping> GrantMapping::map(std::shared_ptr<GrantTable> table, uint32_t domid, const std::vector<uint32_t>& refs, bool writable) {
  std::vector<uint32_t> theirs = refs;  // the library wants them writable
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  const auto count = static_cast<uint32_t>(theirs.size());
  void* address = xengnttab_map_domain_grant_refs(table->get(), count, domid, theirs.data(), protection);
  if (!address) return nullptr;
  return std::unique_ptr<GrantMapping>(new GrantMapping(std::move(table), address, count));
}

GrantMapping::~GrantMapping() { xengnttab_unmap(table_->get(), address_, pages_); }

std::unique_ptr<XenChannel> XenChannel::create(std::shared_ptr<GrantTable> table, ClientId client, uint32_t domid, XenQueueRef queue,
                                               uint32_t ring_order, std::string& why) {
  static_assert(TMEMIF_QUEUE_PAGES(TMEMIF_RING_ORDER_MAX) <= TMEM_XS_DIRECTORY_REFS_MAX);
  const std::vector<uint32_t> refs = read_directory(table, domid, queue.directory, TMEMIF_QUEUE_PAGES(ring_order));
  if (refs.empty()) {
    why = because("the directory page cannot be mapped");
    return nullptr;
  }
  auto mapping = GrantMapping::map(table, domid, refs, true);
  if (!mapping) {
    why = because("the queue's pages cannot be mapped");
    return nullptr;
  }
  xenevtchn_handle* events = xenevtchn_open(nullptr, 0);
  const int port = events ? xenevtchn_bind_interdomain(events, domid, queue.port) : -1;
  // Non-blocking: taking an event that is not there must not stop the shard.
  if (port < 0 || fcntl(xenevtchn_fd(events), F_SETFL, O_NONBLOCK) != 0) {
    why = because("the event channel cannot be bound");
    if (events) xenevtchn_close(events);
    return nullptr;
  }
  return std::unique_ptr<XenChannel>(new XenChannel(client, ring_order, std::move(mapping), events, static_cast<uint32_t>(port)));
}

XenChannel::XenChannel(ClientId client, uint32_t ring_order, std::unique_ptr<GrantMapping> mapping, xenevtchn_handle* events, uint32_t port)
    : Channel(client, mapping->address(), ring_order), mapping_(std::move(mapping)), events_(events), port_(port) {}

XenChannel::~XenChannel() { xenevtchn_close(events_); }

void XenChannel::notify() { (void)xenevtchn_notify(events_, port_); }

int XenChannel::wait_fd() const { return xenevtchn_fd(events_); }

void XenChannel::acknowledge() {
  const int port = xenevtchn_pending(events_);
  if (port >= 0) (void)xenevtchn_unmask(events_, static_cast<uint32_t>(port));
}

}  // namespace tmem
