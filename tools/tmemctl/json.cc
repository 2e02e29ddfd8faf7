// SPDX-License-Identifier: MIT
#include "tools/tmemctl/json.h"

#include <cctype>

#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

Json scalar(const Message& message, const Reflection& reflection, const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: return reflection.GetBool(message, &field);
    case FieldDescriptor::CPPTYPE_UINT32: return reflection.GetUInt32(message, &field);
    case FieldDescriptor::CPPTYPE_UINT64: return reflection.GetUInt64(message, &field);
    case FieldDescriptor::CPPTYPE_INT32: return reflection.GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64: return reflection.GetInt64(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE: return reflection.GetDouble(message, &field);
    case FieldDescriptor::CPPTYPE_FLOAT: return reflection.GetFloat(message, &field);
    case FieldDescriptor::CPPTYPE_STRING: return reflection.GetString(message, &field);
    case FieldDescriptor::CPPTYPE_ENUM: return enum_word(reflection.GetEnum(message, &field)->name());
    case FieldDescriptor::CPPTYPE_MESSAGE: return to_json(reflection.GetMessage(message, &field));
  }
  return nullptr;
}

Json list(const Message& message, const Reflection& reflection, const FieldDescriptor& field) {
  Json items = Json::array();
  for (int i = 0; i < reflection.FieldSize(message, &field); i++) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE)
      items.push_back(to_json(reflection.GetRepeatedMessage(message, &field, i)));
    else if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING)
      items.push_back(reflection.GetRepeatedString(message, &field, i));
    else
      throw std::logic_error("control.proto: a repeated field of a kind that has no JSON yet: " + field.full_name());
  }
  return items;
}

bool is_bytes(const std::string& name) {
  return name.starts_with("bytes_") || name.ends_with("_bytes") || name.find("_bytes_") != std::string::npos;
}

std::string leaf(const std::string& name, const Json& value, bool human) {
  if (value.is_string()) return printable(value.get<std::string>());
  if (value.is_number_unsigned() && is_bytes(name)) return format_bytes_unit(value.get<uint64_t>(), human);
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  return value.dump();
}

}  // namespace

std::string enum_word(std::string_view name) {
  std::string word(name);
  for (char& c : word) c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return word;
}

Json to_json(const Message& message) {
  Json json = Json::object();
  const Reflection& reflection = *message.GetReflection();
  const google::protobuf::Descriptor& descriptor = *message.GetDescriptor();
  for (int i = 0; i < descriptor.field_count(); i++) {
    const FieldDescriptor& field = *descriptor.field(i);
    if (field.is_repeated())
      json[field.name()] = list(message, reflection, field);
    else if (!field.has_optional_keyword() || reflection.HasField(message, &field))
      json[field.name()] = scalar(message, reflection, field);
  }
  return json;
}

Json schema(const char* name, unsigned version) {
  Json json = Json::object();
  json["schema"] = "xen-tmem/" + std::string(name) + "/" + std::to_string(version);
  return json;
}

void print_json(std::ostream& out, const Json& json, bool line) {
  out << json.dump(line ? -1 : 2, ' ', false, Json::error_handler_t::replace) << '\n';
}

void print_tree(std::ostream& out, const Json& json, bool human, int indent) {
  std::string pad(static_cast<size_t>(indent), ' ');
  for (const auto& [name, value] : json.items()) {
    if (value.is_object()) {
      out << pad << name << ":\n";
      print_tree(out, value, human, indent + 2);
    } else if (value.is_array()) {
      out << pad << name << ":" << (value.empty() ? " none\n" : "\n");
      for (const Json& item : value) {
        if (!item.is_object()) {
          out << pad << "  - " << leaf(name, item, human) << '\n';
          continue;
        }
        out << pad << "  -\n";
        print_tree(out, item, human, indent + 4);
      }
    } else {
      out << pad << name << ": " << leaf(name, value, human) << '\n';
    }
  }
}

void add_numbers(Json& into, const Json& from) {
  if (into.is_null()) into = Json::object();
  for (const auto& [name, value] : from.items()) {
    if (value.is_number_unsigned())
      into[name] = into.value(name, uint64_t{0}) + value.get<uint64_t>();
    else if (value.is_object())
      add_numbers(into[name], value);
  }
}

}  // namespace tmem::tool
