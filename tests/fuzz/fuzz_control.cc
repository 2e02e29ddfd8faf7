// SPDX-License-Identifier: MIT
// Any bytes on a control connection: no crash, every frame that goes out is a reply, and the engines' books stay right.
#include <cstdlib>
#include <string_view>

#include "control/fake_host.h"
#include "control/session.h"
#include "tmem/limits.h"
#include "tmem/tmemif.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tmem;
  test::FakeHost host;
  const ClientId client = host.add(7, "web");
  host.add(8, "db", ControlClientState::kRecovered);
  host.make_pool(client, 0, TMEMIF_POOL_FLAGS(0));
  host.put(client, 0, 4);
  ControlService service(host);
  ControlCounters counters;
  FrameDecoder replies(kControlReplyBytesMax);
  const auto session = std::make_shared<ControlSession>(
      service, counters, ControlSession::Carrier{[&](std::string frame) { replies.add(frame); }, [] {}, [] { return size_t{0}; }});
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // First as the stream it is, then once more as one well-framed message, so that requests are reached soon.
  session->receive(bytes);
  const auto framed = std::make_shared<ControlSession>(
      service, counters, ControlSession::Carrier{[&](std::string frame) { replies.add(frame); }, [] {}, [] { return size_t{0}; }});
  framed->receive(encode_frame(bytes));
  while (const auto frame = replies.next()) {
    control::Reply reply;
    if (!reply.ParseFromString(*frame)) std::abort();
  }
  if (replies.broken() || !host.engine(0).check_invariants().empty() || !host.engine(1).check_invariants().empty()) std::abort();
  return 0;
}
