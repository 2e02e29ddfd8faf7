// SPDX-License-Identifier: MIT
// What is explored: choices of the actors, from each of the first states.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lazy/explorer.h"
#include "lazy/world.h"

namespace tmem::test {

struct NamedActor {
  const char* name;
  void (World::*run)();
};

inline const std::vector<NamedActor>& actors() {
  static const std::vector<NamedActor> all = {
      {"swapon", &World::swapon},           {"swapoff", &World::swapoff},
      {"store", &World::store},             {"load", &World::load},
      {"free", &World::free_page},          {"mount", &World::mount},
      {"umount", &World::umount},           {"put", &World::put},
      {"get", &World::get},                 {"write", &World::write},
      {"put_other", &World::put_other},
      {"write_no_room", &World::write_no_room}, {"mend", &World::mend},
      {"register", &World::load_module},    {"unregister", &World::unload_module},
      {"bring_back", &World::bring_back},   {"connect", &World::connect},
      {"lose_memory", &World::lose_memory}, {"disconnect", &World::disconnect},
      {"hold", &World::hold},
  };
  return all;
}

// Nobody is there; swap and files without a backend; a backend without a connection; everything, with a page in each pool.
enum class First { kCold, kLate, kUnconnected, kWarm };

inline void make_first(World& world, First first) {
  world.begin();
  if (first == First::kCold) return;
  world.swapon();
  world.mount();
  if (first == First::kLate) {
    world.store();  // to the disk
    return;
  }
  world.load_module();
  if (first == First::kUnconnected) {
    world.store();
    return;
  }
  world.connect();
  world.store();
  world.put();
}

inline Exploration explore_set(First first, const std::vector<size_t>& set, uint32_t preemptions_max = kNoBound) {
  World world;
  Scenario scenario;
  scenario.begin = [&] { make_first(world, first); };
  scenario.hash = [&] { return world.hash(); };
  scenario.guarded = [&] { return world.guarded(); };
  scenario.end = [&] { world.end(); };
  for (const size_t index : set) scenario.actors.push_back([&world, index] { (world.*actors()[index].run)(); });
  return explore(scenario, preemptions_max);
}

inline std::string name_set(First first, const std::vector<size_t>& set) {
  std::string text = "from state " + std::to_string(static_cast<int>(first)) + ":";
  for (const size_t index : set) text += std::string(" ") + actors()[index].name;
  return text;
}

// All sets of this size (an actor may come twice); stops at the first violation and returns it with its set's name.
inline std::string explore_all(First first, size_t size, uint32_t preemptions_max, Exploration& sum) {
  std::vector<size_t> set(size, 0);
  for (;;) {
    const Exploration one = explore_set(first, set, preemptions_max);
    sum.runs += one.runs;
    sum.states += one.states;
    if (!one.violation.empty()) return name_set(first, set) + ": " + one.violation;
    size_t at = size;
    while (at > 0 && set[at - 1] + 1 == actors().size()) --at;
    if (at == 0) return "";
    const size_t next = set[at - 1] + 1;
    for (size_t i = at - 1; i < size; ++i) set[i] = next;
  }
}

}  // namespace tmem::test
