// SPDX-License-Identifier: MIT
#include "breathe/hooks.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <utility>

namespace tmem::breathe {
namespace {

namespace fs = std::filesystem;

bool is_script(const fs::path& path) {
  const std::string name = path.filename().string();
  const bool good = std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; });
  std::error_code ignored;
  return good && fs::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0;
}

// A process group of its own, nothing open but a silent input and the agent's output, no signal ignored or blocked.
struct SpawnSettings {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
};

}  // namespace

Hooks::Hooks(fs::path directory, uint64_t limit_ms, Complain complain) : directory_(std::move(directory)), limit_ms_(limit_ms), complain_(std::move(complain)) {}

Hooks::~Hooks() {
  for (const Running& one : running_) {
    kill(-one.pid, SIGKILL);
    waitpid(one.pid, nullptr, 0);
  }
}

void Hooks::run(const std::vector<std::string>& arguments, uint64_t now_ms) {
  std::error_code ignored;
  std::vector<fs::path> scripts;
  for (const auto& entry : fs::directory_iterator(directory_, ignored)) {
    if (is_script(entry.path())) scripts.push_back(entry.path());
  }
  std::sort(scripts.begin(), scripts.end());
  for (const fs::path& script : scripts) start(script, arguments, now_ms);
}

void Hooks::start(const fs::path& script, const std::vector<std::string>& arguments, uint64_t now_ms) {
  if (running_.size() >= kRunningMax) return complain_(script.string() + " is not run: " + std::to_string(kRunningMax) + " scripts still run; make them faster");
  std::vector<std::string> words{script.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& one : words) argv.push_back(one.data());
  argv.push_back(nullptr);
  const SpawnSettings settings;
  pid_t pid = 0;
  const int error = posix_spawn(&pid, script.c_str(), &settings.files, &settings.attributes, argv.data(), environ);
  if (error != 0) complain_("cannot run " + script.string() + ": " + std::strerror(error));
  else running_.push_back({pid, script.string(), now_ms, false});
}

bool Hooks::has_ended(const Running& one) {
  int status = 0;
  if (waitpid(one.pid, &status, WNOHANG) == 0) return false;
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) complain_(one.script + " failed with status " + std::to_string(WEXITSTATUS(status)));
  return true;
}

size_t Hooks::look(uint64_t now_ms) {
  std::erase_if(running_, [this](const Running& one) { return has_ended(one); });
  for (Running& one : running_) {
    if (one.killed || now_ms - one.began_ms < limit_ms_) continue;
    complain_(one.script + " is killed: it ran for more than " + std::to_string(limit_ms_ / 1000) + " seconds");
    kill(-one.pid, SIGKILL);
    one.killed = true;
  }
  return running_.size();
}

}  // namespace tmem::breathe
