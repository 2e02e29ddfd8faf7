// SPDX-License-Identifier: MIT
#include "cli.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <stdexcept>

#include "print.h"

namespace tmem::inspect {
namespace {

constexpr const char* kProgram = "tmem-inspect";
constexpr int kWhole = 0, kDamaged = 1, kUsage = 2, kNoRecord = 3;

struct Options {
  std::vector<std::string> files;
  std::string record;
  bool json = false;
};

bool parse(const std::string& text, uint32_t& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

void emit(std::ostream& out, const char* schema, Json body) {
  Json document = {{"schema", schema}};
  document.update(body);
  out << document.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

int show_record(const Options& options, std::ostream& out, std::ostream& err) {
  size_t colon = options.record.find(':');
  uint32_t segment = 0, slot = 0;
  if (options.files.size() != 1 || colon == std::string::npos || !parse(options.record.substr(0, colon), segment) || !parse(options.record.substr(colon + 1), slot)) {
    err << kProgram << ": --record needs one file, and a record named SEGMENT:SLOT, for example 0:17\n";
    return kUsage;
  }
  Record record = read_record(ArenaBytes(options.files[0]), segment, slot);
  if (!record.found) {
    err << kProgram << ": " << options.files[0] << " has no record " << options.record << "; it has no such segment, or fewer slots in it\n";
    return kNoRecord;
  }
  if (options.json)
    emit(out, "xen-tmem/inspect-record/1", to_json(record));
  else
    print(out, record);
  const bool dead = place_codec(record.slot.place) == Codec::kDead;
  return dead || record.checksum_right ? kWhole : kDamaged;
}

int show_arenas(const Options& options, std::ostream& out, std::ostream& err) {
  int status = kWhole;
  Json arenas = Json::array();
  for (const std::string& file : options.files) {
    try {
      Report report = inspect(file, ArenaBytes(file));
      if (report.damaged()) status = kDamaged;
      if (options.json)
        arenas.push_back(to_json(report));
      else
        print(out, report);
    } catch (const std::runtime_error& error) {
      err << kProgram << ": " << error.what() << '\n';
      status = kDamaged;
    }
  }
  if (options.json) emit(out, "xen-tmem/inspect/1", {{"arenas", std::move(arenas)}});
  return status;
}

}  // namespace

int run_inspect(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err) {
  Options options;
  CLI::App app("Say what is in an arena of xen-tmemd, and what is damaged", kProgram);
  app.set_version_flag("--version", std::string(kProgram) + " " + TMEM_VERSION);
  app.add_option("FILE", options.files, "An arena: a file, or /proc/PID/fd/N of the service")->required();
  app.add_option("--record", options.record, "Dump one record: SEGMENT:SLOT");
  app.add_flag("--json", options.json, "Print JSON with a schema field");
  app.footer("Exit status: 0 whole, 1 damaged or not readable, 2 usage, 3 no such record.\n"
             "The arena of a running service moves while it is read; a record caught in the middle may be called damaged.\n"
             "Examples: tmem-inspect arena.0; tmem-inspect --json arena.* | jq '.arenas[].damages'; tmem-inspect --record 0:17 arena.0");
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    return options.record.empty() ? show_arenas(options, out, err) : show_record(options, out, err);
  } catch (const CLI::Success& asked) {
    return app.exit(asked, out, err);
  } catch (const CLI::ParseError& error) {
    std::string text = error.what();
    err << kProgram << ": " << text.substr(0, text.find('\n')) << "; see " << kProgram << " --help\n";
    return kUsage;
  } catch (const std::runtime_error& error) {
    err << kProgram << ": " << error.what() << '\n';
    return kDamaged;
  }
}

}  // namespace tmem::inspect
