// SPDX-License-Identifier: MIT
#include "capture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace tmem {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kRunPages = 64;  // neighbours stay together: programs lay their data out in order

// A program of ours: started by the shell, in a process group of its own, killed when this goes.
class Program {
 public:
  explicit Program(const std::string& command) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::setpgid(0, 0);
    const int null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  ~Program() {
    if (pid_ <= 0) return;
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Waits until its own memory has grown to so many pages or has stopped growing; stops it. False: it ended before that.
  bool ripen(size_t pages) {
    size_t last = 0, same = 0;
    for (int i = 0; i < 400 && same < 20; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
      if (::waitpid(pid_, nullptr, WNOHANG) != 0) return pid_ = -1, false;
      const size_t now = anonymous();
      if (now >= pages) break;
      same = now == last && now > 2000 ? same + 1 : 0;
      last = now;
    }
    return ::kill(pid_, SIGSTOP) == 0;
  }
  pid_t pid() const { return pid_; }

 private:
  size_t anonymous() const {
    std::ifstream statm("/proc/" + std::to_string(pid_) + "/statm");
    size_t size = 0, resident = 0, of_files = 0;
    statm >> size >> resident >> of_files;
    return resident - of_files;
  }
  pid_t pid_;
};

// The pages of [begin, end) that are present and anonymous, in runs.
void read_range(int pagemap, int memory, uint64_t begin, uint64_t end, std::vector<std::byte>& out) {
  constexpr uint64_t kPresent = uint64_t{1} << 63, kFileOrShared = uint64_t{1} << 61;
  std::vector<uint64_t> entries(kRunPages);
  for (uint64_t at = begin; at < end; at += kRunPages * kPage) {
    const size_t count = std::min<uint64_t>(kRunPages, (end - at) / kPage);
    const ssize_t bytes = static_cast<ssize_t>(count * sizeof(uint64_t));
    if (::pread(pagemap, entries.data(), static_cast<size_t>(bytes), static_cast<off_t>(at / kPage * 8)) != bytes) return;
    for (size_t i = 0; i < count; ++i) {
      if ((entries[i] & kPresent) == 0 || (entries[i] & kFileOrShared) != 0) continue;
      const size_t old = out.size();
      out.resize(old + kPage);
      if (::pread(memory, &out[old], kPage, static_cast<off_t>(at + i * kPage)) != static_cast<ssize_t>(kPage)) out.resize(old);
    }
  }
}

std::vector<std::byte> anonymous_pages(pid_t pid) {
  const std::string proc = "/proc/" + std::to_string(pid);
  const int pagemap = ::open((proc + "/pagemap").c_str(), O_RDONLY | O_CLOEXEC);
  const int memory = ::open((proc + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
  std::vector<std::byte> out;
  std::ifstream maps(proc + "/maps");
  for (std::string line; pagemap >= 0 && memory >= 0 && std::getline(maps, line);) {
    uint64_t begin = 0, end = 0, inode = 0;
    char rights[5] = "";
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %" SCNu64, &begin, &end, rights, &inode) != 4) continue;
    if (rights[0] == 'r' && rights[1] == 'w' && rights[3] == 'p' && inode == 0) read_range(pagemap, memory, begin, end, out);
  }
  if (pagemap >= 0) ::close(pagemap);
  if (memory >= 0) ::close(memory);
  return out;
}

// An even sample of at most so many pages, in runs of neighbours.
std::vector<std::byte> sample(std::vector<std::byte> pages, size_t pages_max) {
  const size_t runs = pages.size() / (kPage * kRunPages);
  const size_t wanted = (pages_max + kRunPages - 1) / kRunPages;
  std::vector<std::byte> out;
  if (runs <= wanted) out = std::move(pages);
  else for (size_t i = 0; i < wanted; ++i) {
    const auto first = pages.begin() + static_cast<std::ptrdiff_t>(i * runs / wanted * kRunPages * kPage);
    out.insert(out.end(), first, first + kRunPages * kPage);
  }
  out.resize(std::min(out.size(), pages_max * kPage));
  return out;
}

std::vector<std::byte> file_pages(size_t pages_max) {
  std::vector<std::byte> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("/usr/lib", std::filesystem::directory_options::skip_permission_denied, error)) {
    if (out.size() >= pages_max * kPage) break;
    if (!entry.is_regular_file(error) || entry.file_size(error) < kRunPages * kPage) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    std::vector<char> run(kRunPages * kPage);
    if (!file.read(run.data(), static_cast<std::streamsize>(run.size()))) continue;
    const auto* bytes = reinterpret_cast<const std::byte*>(run.data());
    out.insert(out.end(), bytes, bytes + run.size());
  }
  return out;
}

// A unit that keeps a compiler busy: many templates, nothing that a system lacks.
void write_unit(const std::string& path) {
  std::ofstream unit(path);
  unit << "#include <algorithm>\n#include <map>\n#include <regex>\n#include <string>\n#include <unordered_map>\n#include <vector>\n";
  for (int i = 0; i < 400; ++i) {
    unit << "int f" << i << "(int n) { std::map<std::string, std::vector<int>> m; struct T" << i
         << " { int a; std::string s; }; std::unordered_map<int, T" << i << "> u; for (int i = 0; i < n; ++i) { m[std::to_string(i)]"
         << ".push_back(i * " << i << "); u[i] = {i, \"x\"}; } std::vector<T" << i << "> v; for (auto& [k, t] : u) v.push_back(t);"
         << " std::sort(v.begin(), v.end(), [](auto& x, auto& y) { return x.a < y.a; }); return int(m.size() + v.size()); }\n";
  }
}

}  // namespace

void PageCorpus::add(const std::string& name, std::vector<std::byte> pages) {
  if (pages.size() < kPage) return;
  if (!source_.empty()) source_ += ", ";
  source_ += name + " " + std::to_string(pages.size() / kPage);
  bytes_.insert(bytes_.end(), pages.begin(), pages.end());
}

PageCorpus PageCorpus::made_of(std::vector<std::byte> pages) {
  PageCorpus corpus;
  corpus.add("given", std::move(pages));
  return corpus;
}

PageCorpus PageCorpus::capture(size_t pages_max) {
  char folder[] = "/tmp/tmem-capture-XXXXXX";
  if (::mkdtemp(folder) == nullptr) return {};
  const std::string unit = std::string(folder) + "/unit.cc";
  write_unit(unit);
  const struct {
    const char* name;
    std::string command;
  } programs[] = {
      {"python3", "exec python3 -c 'import random,time;"
                  "d={i:{\"id\":i,\"name\":\"user%d\"%i,\"tags\":[random.random() for _ in range(6)],\"text\":\"row %d \"%i*4} for i in range(150000)};"
                  "time.sleep(3600)'"},
      {"cc1plus", "g++ -std=c++20 -E " + unit + " -o " + unit + ".ii && exec $(g++ -print-prog-name=cc1plus) -quiet -O2 -std=c++20 "
                  "-fpreprocessed " + unit + ".ii -o /dev/null"},
      {"sort", "exec bash -c \"exec sort -S 256M <(find /usr -printf '%p %s %t %i\\\\n'; sleep 3600)\""},
  };
  const size_t share = (pages_max + std::size(programs) - 1) / std::size(programs);
  PageCorpus corpus;
  for (const auto& [name, command] : programs) {
    Program program(command);
    if (!program.ripen(share + share / 2)) continue;
    corpus.add(name, sample(anonymous_pages(program.pid()), std::min(share, pages_max - corpus.count())));
  }
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  if (corpus.count() < pages_max / 8) corpus.add("files of /usr", sample(file_pages(pages_max), pages_max));
  return corpus;
}

}  // namespace tmem
