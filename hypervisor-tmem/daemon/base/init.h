// SPDX-License-Identifier: MIT
// xen-tmemd as the only program of a domain: process 1 of a kernel whose initramfs holds nothing else (tools/stubdom). The
// program plays two parts by the name that it is started under, and is itself under any other:
//
//   init      as process 1: mounts what Xen's libraries need, loads the image's modules, turns `tmem.KEY=VALUE` of the
//             kernel's command line into configuration, then is the supervisor until it ends, and powers off
//   poweroff  what the kernel calls when dom0 says `xl shutdown`: asks process 1 to end
//
// Whatever fails before the supervisor runs is told on the console and goes on: a domain that serves badly says why.
// Thread rule: before there are threads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tmem {

enum class Role : uint8_t { kProgram, kInit, kPoweroff };

// By the last part of the program's name; init only as process 1.
Role role_of(std::string_view program, bool first_process);

// The lines of configuration in a kernel command line: a word tmem.memory=1G is `memory = 1G`.
std::string config_of_command_line(std::string_view command_line);
// How much of what /proc/meminfo says is available the arenas may have; the rest is for the kernel and the service itself.
// None: it does not say.
uint64_t arena_mib_of(std::string_view meminfo);

void prepare_machine();
[[noreturn]] void power_off(int status);
int ask_for_power_off();

}  // namespace tmem
