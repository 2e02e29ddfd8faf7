// SPDX-License-Identifier: MIT
#include "breathe/xen_hypervisor.h"

extern "C" {
#include <libxl.h>
#include <xentoollog.h>
}

#include <cstdio>

namespace tmem::breathe {
namespace {

struct PhysInfo : libxl_physinfo {
  PhysInfo() { libxl_physinfo_init(this); }
  ~PhysInfo() { libxl_physinfo_dispose(this); }
  PhysInfo(const PhysInfo&) = delete;
  PhysInfo& operator=(const PhysInfo&) = delete;
};

class Libxl final : public Hypervisor {
 public:
  Libxl() : logger_(xtl_createlogger_stdiostream(stderr, XTL_ERROR, 0)) {
    if (logger_ == nullptr || libxl_ctx_alloc(&ctx_, LIBXL_VERSION, 0, reinterpret_cast<xentoollog_logger*>(logger_)) != 0) {
      if (logger_) xtl_logger_destroy(reinterpret_cast<xentoollog_logger*>(logger_));
      throw HostError("cannot ask Xen for its memory: libxl does not start; is this dom0, and is xenstored up?");
    }
    PhysInfo info;
    if (libxl_get_physinfo(ctx_, &info) != 0 || libxl_get_version_info(ctx_) == nullptr) {
      close();
      throw HostError("cannot ask Xen for its memory: the hypervisor does not answer; is this dom0?");
    }
    page_kib_ = static_cast<uint64_t>(libxl_get_version_info(ctx_)->pagesize) / 1024;
  }
  ~Libxl() override { close(); }
  Libxl(const Libxl&) = delete;
  Libxl& operator=(const Libxl&) = delete;

  uint64_t free_kib() override {
    PhysInfo info;
    if (libxl_get_physinfo(ctx_, &info) != 0) throw HostError("cannot ask Xen for its free memory");
    const uint64_t pages = info.free_pages + info.scrub_pages;
    return (pages > info.outstanding_pages ? pages - info.outstanding_pages : 0) * page_kib_;
  }

  std::vector<DomainView> domains() override {
    int count = 0;
    libxl_dominfo* list = libxl_list_domain(ctx_, &count);
    if (list == nullptr) throw HostError("cannot ask Xen for its domains");
    std::vector<DomainView> views;
    for (const libxl_dominfo* d = list; d != list + count; ++d)
      views.push_back({d->domid, d->current_memkb, d->max_memkb, d->outstanding_memkb, d->paused, d->dying || d->shutdown, d->cpu_time > 0});
    libxl_dominfo_list_free(list, count);
    return views;
  }

  void set_target(Domid domain, uint64_t kib) override {
    if (libxl_set_memory_target(ctx_, domain, static_cast<int64_t>(kib), 0, 1) != 0)
      throw HostError("cannot set the memory of domain " + std::to_string(domain) + " to " + std::to_string(kib) + " KiB; xl mem-set may say why");
  }

 private:
  void close() {
    libxl_ctx_free(ctx_);
    xtl_logger_destroy(reinterpret_cast<xentoollog_logger*>(logger_));
  }

  xentoollog_logger_stdiostream* logger_;
  libxl_ctx* ctx_ = nullptr;
  uint64_t page_kib_ = 4;
};

}  // namespace

std::unique_ptr<Hypervisor> open_hypervisor() { return std::make_unique<Libxl>(); }

}  // namespace tmem::breathe
