// SPDX-License-Identifier: MIT
// Messages of the control plane as JSON: every field under its own name, whether it was set or not, enums in small letters
// with dashes. So a counter has one name in the service, in control.proto and here. docs/json.md lists the schemas.
#pragma once

#include <google/protobuf/message.h>

#include <nlohmann/json.hpp>
#include <ostream>

namespace tmem::tool {

using Json = nlohmann::ordered_json;

// Fields marked optional are left out when they are absent; all others are always there.
Json to_json(const google::protobuf::Message& message);
// {"schema": "xen-tmem/NAME/1"}, to be filled.
Json schema(const char* name, unsigned version = 1);
// One document, two spaces of indent; line: on one line.
void print_json(std::ostream& out, const Json& json, bool line = false);
// The same tree as indented "name: value" lines, sizes with their unit.
void print_tree(std::ostream& out, const Json& json, bool human, int indent = 0);
// Adds every number of from to the number of the same name in into.
void add_numbers(Json& into, const Json& from);

// CLIENT_ATTACHED -> "client-attached"
std::string enum_word(std::string_view name);

}  // namespace tmem::tool
