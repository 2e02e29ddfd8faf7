// SPDX-License-Identifier: MIT
// Doubly linked lists that run through the nodes of a pool by number. A list is its head word; the eviction order also keeps
// its tail.
#pragma once

#include "engine/index_memory.h"

namespace tmem {

template <auto kPrev, auto kNext>
struct NumberedList {
  template <typename Nodes>
  static void push_front(Nodes& nodes, uint32_t& head, uint32_t n) {
    nodes[n].*kPrev = kNone;
    nodes[n].*kNext = head;
    if (head != kNone) nodes[head].*kPrev = n;
    head = n;
  }
  template <typename Nodes>
  static void remove(Nodes& nodes, uint32_t& head, uint32_t n) {
    const uint32_t prev = nodes[n].*kPrev;
    const uint32_t next = nodes[n].*kNext;
    (prev == kNone ? head : nodes[prev].*kNext) = next;
    if (next != kNone) nodes[next].*kPrev = prev;
  }

  template <typename Nodes>
  static void push_back(Nodes& nodes, uint32_t& head, uint32_t& tail, uint32_t n) {
    nodes[n].*kPrev = tail;
    nodes[n].*kNext = kNone;
    (tail == kNone ? head : nodes[tail].*kNext) = n;
    tail = n;
  }
  template <typename Nodes>
  static void remove(Nodes& nodes, uint32_t& head, uint32_t& tail, uint32_t n) {
    if (tail == n) tail = nodes[n].*kPrev;
    remove(nodes, head, n);
  }
};

}  // namespace tmem
