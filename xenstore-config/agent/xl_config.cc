// SPDX-License-Identifier: MIT
// xl's own parser (libxlutil) reads the guest's configuration, so that the two never disagree on the syntax.
extern "C" {
#include <libxlutil.h>
}

#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "agent/policy.h"

namespace tmem::agent {
namespace {

struct Destroy {
  void operator()(XLU_Config* c) const { xlu_cfg_destroy(c); }
};

// libxlutil reports to a stream; what it says goes into the error, in one line.
class Report {
 public:
  Report() : stream_(open_memstream(&text_, &size_)) {}
  ~Report() {
    if (stream_) std::fclose(stream_);
    std::free(text_);
  }
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;
  FILE* stream() { return stream_; }
  std::string text() {
    std::fflush(stream_);
    std::string s(text_ ? text_ : "", text_ ? size_ : 0);
    return s.substr(0, s.find('\n'));
  }

 private:
  char* text_ = nullptr;
  size_t size_ = 0;
  FILE* stream_;
};

// Keys whose value is a number or a string; xl.cfg allows both spellings.
void take_scalars(const XLU_Config* config, PolicyKeys& keys) {
  std::vector<std::string> names = {"", "weight", "cap", "min", "compress", "selfballoon"};
  names.insert(names.end(), tuning_nodes().begin(), tuning_nodes().end());
  names.insert(names.end(), flow_keys().begin(), flow_keys().end());
  for (const std::string& name : names) {
    const std::string key = name.empty() ? "tmem" : "tmem_" + name;
    const char* value = nullptr;
    if (xlu_cfg_get_string(config, key.c_str(), &value, 1) == 0) keys.values[name] = value;
  }
}

void take_shared(const XLU_Config* config, PolicyKeys& keys) {
  XLU_ConfigList* list = nullptr;
  int entries = 0;
  if (xlu_cfg_get_list(config, "tmem_shared", &list, &entries, 1) != 0) return;
  for (int i = 0; i < entries; ++i) {
    if (const char* item = xlu_cfg_get_listitem(list, i)) keys.shared.emplace_back(item);
  }
}

}  // namespace

std::optional<XlConfig> read_xl_config(const std::string& path, const std::vector<std::string>& extra_lines, std::vector<PolicyError>& errors) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return std::nullopt;  // whoever reads a pipe waits for its writer
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return std::nullopt;
  std::string data = std::move(text).str();
  for (const std::string& line : extra_lines) data += "\n" + line;
  data += "\n";

  Report report;
  if (!report.stream()) return std::nullopt;
  std::unique_ptr<XLU_Config, Destroy> config(xlu_cfg_init(report.stream(), path.c_str()));
  if (!config) return std::nullopt;
  if (xlu_cfg_readdata(config.get(), data.data(), static_cast<int>(data.size())) != 0) {
    errors.push_back({report.text().empty() ? path + ": xl cannot parse this file" : report.text()});
    return std::nullopt;
  }

  XlConfig result;
  const char* value = nullptr;
  if (xlu_cfg_get_string(config.get(), "name", &value, 1) == 0) result.name = value;
  if (xlu_cfg_get_string(config.get(), "uuid", &value, 1) == 0) {
    result.uuid = value;
    for (char& c : result.uuid) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));  // as libxl writes it
  }
  long memory = 0;
  if (xlu_cfg_get_long(config.get(), "memory", &memory, 1) == 0 && memory > 0) result.memory_mib = static_cast<uint64_t>(memory);
  PolicyKeys keys;
  take_scalars(config.get(), keys);
  take_shared(config.get(), keys);
  if (!keys.values.empty()) result.policy = policy_from_keys(keys, path, errors);
  return result;
}

}  // namespace tmem::agent
