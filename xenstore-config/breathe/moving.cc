// SPDX-License-Identifier: MIT
#include "breathe/moving.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <vector>

namespace tmem::breathe {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> command_line(const fs::path& process) {
  std::ifstream in(process / "cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(in, word, '\0');) words.push_back(word);
  return words;
}

// What follows the verb where this saves or moves.
std::vector<std::string> names_of(const std::vector<std::string>& words) {
  if (words.empty() || fs::path(words[0]).filename() != "xl") return {};
  const auto verb = std::find_if(words.begin() + 1, words.end(), [](const std::string& word) { return word.empty() || word[0] != '-'; });
  constexpr std::array<std::string_view, 3> kVerbs{"save", "migrate", "suspend"};
  if (verb == words.end() || std::find(kVerbs.begin(), kVerbs.end(), *verb) == kVerbs.end()) return {};
  return {verb + 1, words.end()};
}

std::vector<std::string> named_in(const fs::path& proc) {
  std::vector<std::string> named;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(proc, ignored)) {
    if (entry.path().filename().string().find_first_not_of("0123456789") != std::string::npos) continue;
    for (std::string& name : names_of(command_line(entry.path()))) named.push_back(std::move(name));
  }
  return named;
}

}  // namespace

bool Moving::has(agent::Domid domain, const std::string& name) {
  if (name.ends_with("--incoming") || name.ends_with("--migratedaway")) return true;
  if (!named_) named_ = named_in(proc_);
  const std::string id = std::to_string(domain);
  return std::any_of(named_->begin(), named_->end(), [&](const std::string& word) { return word == id || word == name; });
}

}  // namespace tmem::breathe
