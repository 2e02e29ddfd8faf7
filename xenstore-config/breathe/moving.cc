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

bool saves_or_moves(const std::vector<std::string>& words, const std::string& id, const std::string& name) {
  if (words.empty() || fs::path(words[0]).filename() != "xl") return false;
  const auto verb = std::find_if(words.begin() + 1, words.end(), [](const std::string& word) { return word.empty() || word[0] != '-'; });
  if (verb == words.end()) return false;
  constexpr std::array<std::string_view, 3> kVerbs{"save", "migrate", "suspend"};
  return std::find(kVerbs.begin(), kVerbs.end(), *verb) != kVerbs.end() &&
         std::any_of(verb + 1, words.end(), [&](const std::string& word) { return word == id || word == name; });
}

}  // namespace

bool is_moving(const fs::path& proc, agent::Domid domain, const std::string& name) {
  if (name.ends_with("--incoming") || name.ends_with("--migratedaway")) return true;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(proc, ignored)) {
    if (entry.path().filename().string().find_first_not_of("0123456789") != std::string::npos) continue;
    if (saves_or_moves(command_line(entry.path()), std::to_string(domain), name)) return true;
  }
  return false;
}

}  // namespace tmem::breathe
