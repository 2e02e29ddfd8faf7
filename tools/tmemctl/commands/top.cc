// SPDX-License-Identifier: MIT
// top: who uses the service now. On a terminal with xentop's keys, or in batch mode for logs.
#include "tools/tmemctl/top/model.h"

#include <chrono>
#include <thread>

#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/text.h"
#include "tools/tmemctl/top/screen.h"

namespace tmem::tool {
namespace {

struct TopOptions {
  bool batch = false;
  uint64_t iterations = 0;  // 0: for ever
  double delay_seconds = 3;
  std::string sort = "name";
  TopView view;
};

// The model, and when it was last fed.
class Sampler {
 public:
  explicit Sampler(Session& session) : session_(session) {}

  const TopModel& next() {
    control::Request request;
    request.mutable_info();
    control::Reply info = session_.call(std::move(request));
    control::ListClients::Reply clients = list_clients(session_, {"", true}, true);
    auto now = std::chrono::steady_clock::now();
    model_.sample(info.info(), clients, std::chrono::duration<double>(now - last_).count());
    last_ = now;
    return model_;
  }

 private:
  Session& session_;
  TopModel model_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

void run_batch(Session& session, const TopOptions& options) {
  Sampler sampler(session);
  for (uint64_t i = 0; options.iterations == 0 || i < options.iterations; i++) {
    if (i > 0) std::this_thread::sleep_for(std::chrono::duration<double>(options.delay_seconds));
    const TopModel& model = sampler.next();
    if (session.json) {
      print_json(session.out, model.json(), true);
    } else {
      if (i > 0) session.out << '\n';
      for (const std::string& line : model.text(options.view)) session.out << line << '\n';
    }
    session.out.flush();
    if (!session.out) return;
  }
}

TopSort next_sort(TopSort sort) {
  size_t i = 0;
  while (kTopSorts[i] != sort) i++;
  return kTopSorts[(i + 1) % std::size(kTopSorts)];
}

// False: the user wants to leave.
bool handle_key(Screen& screen, TopOptions& options, int key) {
  switch (key) {
    case 'q': return false;
    case 's': options.view.sort = next_sort(options.view.sort); break;
    case 'r': options.view.reverse = !options.view.reverse; break;
    case 'n': options.view.pools = !options.view.pools; break;
    case 'd': {
      char* end = nullptr;
      std::string answer = screen.ask("Seconds between samples: ");
      double seconds = std::strtod(answer.c_str(), &end);
      if (end != answer.c_str() && *end == '\0' && seconds >= 0.1 && seconds <= 3600) options.delay_seconds = seconds;
      break;
    }
    default: break;
  }
  return true;
}

// A service that goes away is shown and waited for: it may be restarting, and that is when people look.
void run_screen(Session& session, TopOptions options) {
  Sampler sampler(session);
  TopModel model = sampler.next();  // before the screen is taken: a first failure is an ordinary error
  Screen screen;
  auto due = std::chrono::steady_clock::now();
  std::string trouble;
  for (uint64_t shown = 1;;) {
    std::vector<std::string> lines = model.text(options.view);
    if (!trouble.empty()) lines[0] = trouble;
    screen.draw(lines, 2, std::string("D delay  S sort (") + to_string(options.view.sort) + ")  R reverse  N pools  Q quit");
    double left = options.delay_seconds - std::chrono::duration<double>(std::chrono::steady_clock::now() - due).count();
    int key = left > 0 ? screen.key(left) : 0;
    if (key != 0 && !handle_key(screen, options, key)) return;
    if (std::chrono::duration<double>(std::chrono::steady_clock::now() - due).count() < options.delay_seconds) continue;
    if (options.iterations != 0 && shown++ >= options.iterations) return;
    due = std::chrono::steady_clock::now();
    try {
      model = sampler.next();
      trouble.clear();
    } catch (const Failure& failure) {
      trouble = failure.what();
      session.connection.reset();
    }
  }
}

TopSort parse_sort(const std::string& word) {
  for (TopSort sort : kTopSorts)
    if (enum_word(to_string(sort)) == enum_word(word)) return sort;
  throw Failure(ExitCode::kUsage, "cannot sort by '" + printable(word) + "'; there are name, eph, pers, ratio, hit%, put/s, get/s and weight");
}

}  // namespace

void add_top_command(CLI::App& app, Session& session) {
  auto options = std::make_shared<TopOptions>();
  CLI::App* top = add_reading(app, session, "top", "Watch clients and pools, and their rates");
  top->add_flag("-b,--batch", options->batch, "Print samples instead of drawing a screen; --json: a document on each line");
  top->add_option("-i,--iterations", options->iterations, "End after that many samples; 0: never")->check(CLI::Range(0, 1'000'000'000));
  top->add_option("-d,--delay", options->delay_seconds, "Seconds between samples")->check(seconds_within(0.1, 3600))->capture_default_str();
  top->add_option("-s,--sort", options->sort, "Sort by: name, eph, pers, ratio, hit%, put/s, get/s, weight")->capture_default_str();
  top->add_flag("-r,--reverse", options->view.reverse, "In the opposite order");
  top->add_flag("-N,--pools", options->view.pools, "Pools too, each below its client");
  top->footer("Keys: D seconds between samples, S next column to sort by, R reverse, N pools, Q quit.\n"
              "HIT% is of the interval; the first sample has no rates. Example: xen-tmemctl top -b -i 2 -d 1");
  top->callback([options, &session] {
    options->view.sort = parse_sort(options->sort);
    options->view.human = session.human;
    if (session.json && !options->batch) throw Failure(ExitCode::kUsage, "--json needs batch mode: xen-tmemctl top -b --json");
    options->batch ? run_batch(session, *options) : run_screen(session, *options);
  });
}

}  // namespace tmem::tool
