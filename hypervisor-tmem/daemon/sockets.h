// SPDX-License-Identifier: MIT
// Listening Unix sockets: made where nobody listens, refused where somebody does. Thread rule: the main thread.
#pragma once

#include <string>

#include "tmem/status.h"
#include "transport/file_descriptor.h"

namespace tmem {

struct ListeningSocket {
  FileDescriptor fd;
  bool in_use = false;   // somebody listens there already
  std::string error;     // why there is none: one line with a remedy
};

// type: SOCK_STREAM or SOCK_SEQPACKET. The directory is made if it is not there; a socket file that nobody listens on is
// replaced. The file's mode is 0600.
ListeningSocket listen_on(const std::string& path, int type);

}  // namespace tmem
