// SPDX-License-Identifier: MIT
// xen-tmem-agent: runs in dom0, attaches guests to the service's domain as their policies say, and cleans up after them. Beside
// that a thread lets the tmem domain breathe.
// It keeps nothing that it could not find again: each round looks at xenstore as it is.
#include <syslog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio.hpp>
#include <chrono>
#include <cstdio>
#include <optional>

#include "agent/attach.h"
#include "breathe/breather.h"
#include "breathe/loop.h"
#include "breathe/xen_hypervisor.h"
#include "daemon/config/config.h"

namespace {
namespace asio = boost::asio;
using namespace tmem::agent;
using std::chrono::milliseconds;

struct Arguments {
  Reconciler::Options options;
  std::optional<tmem::breathe::LoopOptions> breathe;  // none: memory is not moved
  std::string config_path;
  bool once = false;
  bool debug = false;
};

constexpr milliseconds kRetry{200};      // while a domain is being built or a backend closes
constexpr milliseconds kSecondLook{2000}; // after an event: libxl takes a domain's directory away some time after its end is told
constexpr milliseconds kReconnect{1000}; // while xenstored is away
constexpr milliseconds kSweep{30000};    // a round without an event, for whatever was missed

void log(const Arguments& arguments, int priority, const std::string& text) {
  if (priority > LOG_INFO && !arguments.debug) return;
  std::fprintf(stderr, "<%d>xen-tmem-agent: %s\n", priority, text.c_str());
}

// One connection to xenstored: rounds on events and timers until it breaks.
class Session {
 public:
  Session(asio::io_context& io, const Arguments& arguments)
      : arguments_(arguments), events_(io, dup(store_.fd())), timer_(io), reconciler_(store_, arguments.options, [this](int p, const std::string& t) { log(arguments_, p, t); }) {
    store_.write(kAgentNode, std::to_string(getpid()), {});
    for (const char* path : {"@introduceDomain", "@releaseDomain", kWishes}) store_.watch(path, "agent");
    wait_event();
    round(kSecondLook);
  }

 private:
  void wait_event() {
    events_.async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code error) {
      if (error) return;
      bool any = false;
      while (store_.next_event()) any = true;
      if (any) round(kSecondLook);
      wait_event();
    });
  }
  // `next` is when to look again if everything is as it should be.
  void round(milliseconds next) {
    if (!arguments_.breathe) end_breathing();
    const bool settled = reconciler_.reconcile();
    timer_.expires_after(settled ? next : kRetry);
    timer_.async_wait([this](boost::system::error_code error) {
      if (!error) round(kSweep);
    });
  }

  // Of an agent before: what it asked of guests, also of those that come back only now, and what would promise room to who asks.
  void end_breathing() {
    if (!tmem::breathe::holds_any(store_)) return;
    try {
      tmem::breathe::let_go(store_, *tmem::breathe::open_hypervisor());
      trouble_.clear();
    } catch (const tmem::breathe::HostError& error) {
      if (trouble_ != error.what()) log(arguments_, LOG_WARNING, error.what());
      trouble_ = error.what();
    }
    store_.remove(TMEM_XS_FLOW_ROOM);
    store_.remove(TMEM_XS_FLOW_STATE);
  }

  const Arguments& arguments_;
  XenStore store_;
  asio::posix::stream_descriptor events_;
  asio::steady_timer timer_;
  Reconciler reconciler_;
  std::string trouble_;  // with the hypervisor, said once
};

int run_once(const Arguments& arguments) {
  XenStore store;
  Reconciler reconciler(store, arguments.options, [&](int p, const std::string& t) { log(arguments, p, t); });
  return reconciler.reconcile() ? 0 : 1;
}

int run(const Arguments& arguments) {
  std::optional<tmem::breathe::Loop> breathing;
  if (arguments.breathe) breathing.emplace(*arguments.breathe, [&](int p, const std::string& t) { log(arguments, p, t); });
  for (bool told = false;;) {
    asio::io_context io;
    asio::signal_set signals(io, SIGTERM, SIGINT);
    bool stop = false;
    signals.async_wait([&](boost::system::error_code error, int) {
      if (error) return;
      stop = true;
      io.stop();
    });
    try {
      Session session(io, arguments);
      told = false;
      io.run();
    } catch (const StoreError& error) {
      if (!told) log(arguments, LOG_WARNING, std::string(error.what()) + "; trying again every second");
      told = true;
      asio::steady_timer pause(io, kReconnect);
      pause.async_wait([&](boost::system::error_code) { io.stop(); });
      io.restart();
      io.run();
    }
    if (stop) return 0;
  }
}

void take_config(const tmem::Config& config, Arguments& arguments) {
  constexpr uint64_t kMib = uint64_t{1} << 20, kKib = 1024;
  Reconciler::Options& options = arguments.options;
  if (options.backend_domain.empty()) options.backend_domain = config.xen_domain;
  options.fallback = {config.xen_attach, config.client_weight, config.client_cap_bytes / kMib, config.client_min_bytes / kMib, config.client_compress, {}, {}};
  if (!config.breathe) return;
  tmem::breathe::LoopOptions& breathe = arguments.breathe.emplace();
  breathe.service_domain = options.backend_domain;
  breathe.interval_seconds = config.breathe_interval_seconds;
  breathe.events_directory = options.places.etc / "tmem/events.d";
  breathe.params.tmem_growth_ms = config.breathe_interval_seconds * uint64_t{1000};
  breathe.params.reserve_kib = config.breathe_reserve_bytes / kKib;
  breathe.params.tmem_min_kib = config.breathe_min_bytes / kKib;
  if (config.breathe_max_bytes != 0) breathe.params.tmem_max_kib = config.breathe_max_bytes / kKib;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Attaches Xen guests to the tmem service as their policies say (tmem=1 in xl.cfg, /etc/xen/tmem.d/NAME.conf)."};
  Arguments arguments;
  app.add_option("-c,--config", arguments.config_path, "read this file and FILE.d/*.conf instead of /etc/xen/tmem.conf (keys xen-domain, xen-attach, breathe..., client-...)")
      ->type_name("FILE");
  app.add_option("--backend-domain", arguments.options.backend_domain, "name or id of the domain in which xen-tmemd runs (default: xen-domain)");
  app.add_option("--etc", arguments.options.places.etc, "directory of the configuration")->capture_default_str();
  app.add_option("--records", arguments.options.places.records, "where the policy of each guest is kept by UUID")->capture_default_str();
  app.add_flag("--once", arguments.once, "one round, then exit; status 1 if something was not yet settled");
  app.add_flag("--debug", arguments.debug, "say more");
  app.set_version_flag("--version", "xen-tmem-agent " TMEM_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // help or version
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    const std::string text = error.what();
    std::fprintf(stderr, "xen-tmem-agent: %s; see xen-tmem-agent --help\n", text.substr(0, text.find('\n')).c_str());
    return 2;
  }

  std::vector<tmem::ConfigError> errors;
  const tmem::Config config = tmem::load_config(arguments.config_path, tmem::HostFigures::read(), errors);
  for (const tmem::ConfigError& error : errors) std::fprintf(stderr, "xen-tmem-agent: %s\n", error.to_string().c_str());
  if (!errors.empty()) return 3;
  take_config(config, arguments);
  try {
    return arguments.once ? run_once(arguments) : run(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "xen-tmem-agent: %s\n", error.what());
    return 1;
  }
}
