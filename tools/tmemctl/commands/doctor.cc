// SPDX-License-Identifier: MIT
// doctor: gathers the facts, runs every check on them, prints what they found. Exit status 1 when there is a problem.
#include "tools/tmemctl/doctor/checks.h"
#include "tools/tmemctl/doctor/xen_facts.h"

#include <sys/stat.h>

#include "tools/tmemctl/commands/commands.h"
#include "tools/tmemctl/json.h"
#include "tools/tmemctl/text.h"

namespace tmem::tool {
namespace {

struct Named {
  const char* check;
  Finding finding;
};

DoctorFacts gather(Session& session) {
  DoctorFacts facts;
  const Place& place = session.place();
  facts.elsewhere = place.domid != 0;
  facts.socket_path = place.socket_path;
  struct stat status {};
  if (place.domid == 0 && stat(place.socket_path.c_str(), &status) == 0) facts.socket = {true, S_ISSOCK(status.st_mode), status.st_mode & 07777u, status.st_uid};
  try {
    control::Request info, freeable;
    info.mutable_info();
    freeable.mutable_freeable();
    facts.info = session.call(std::move(info)).info();
    facts.clients = list_clients(session, {"", true}, false);
    facts.freeable_bytes = session.call(std::move(freeable)).freeable().bytes();
  } catch (const Failure& failure) {
    facts.unreachable = failure.what();
  }
  const std::string path = facts.info ? facts.info->config_path() : std::string();
  facts.config = load_config(path == kConfigPathDefault ? std::string() : path, HostFigures::read(), facts.config_errors);
  return facts;
}

void add(std::vector<Named>& named, const char* check, std::vector<Finding> findings) {
  if (findings.empty()) findings.push_back({Level::kOk, "nothing to say"});
  for (Finding& finding : findings) named.push_back({check, std::move(finding)});
}

std::vector<Named> examine(const DoctorFacts& facts, const std::optional<XenFacts>& xen) {
  std::vector<Named> named;
  for (const Check& check : checks()) {
    if (check.needs_service && !facts.unreachable.empty()) {
      named.push_back({check.name, {Level::kSkipped, "not checked, because the service does not answer"}});
      continue;
    }
    add(named, check.name, check.run(facts));
  }
  if (!xen) return named;
  for (const XenCheck& check : xen_checks()) add(named, check.name, check.run(*xen));
  return named;
}

void print_text(Session& session, const std::vector<Named>& named, size_t problems, size_t warnings) {
  Table table({"<Check", "<Result", "<Finding"});
  for (const Named& one : named) {
    table.add({one.check, to_string(one.finding.level), one.finding.text});
    if (!one.finding.remedy.empty()) table.add({"", "", "  -> " + one.finding.remedy});
  }
  table.print(session.out);
  session.out << problems << " problems, " << warnings << " warnings\n";
}

void run_doctor(Session& session) {
  std::vector<Named> named = examine(gather(session), gather_xen());
  size_t problems = 0, warnings = 0;
  for (const Named& one : named) {
    problems += one.finding.level == Level::kProblem;
    warnings += one.finding.level == Level::kWarning;
  }
  if (problems > 0) session.exit_code = ExitCode::kFailed;
  if (!session.json) return print_text(session, named, problems, warnings);
  Json document = schema("doctor");
  document["problems"] = problems;
  document["warnings"] = warnings;
  document["findings"] = Json::array();
  for (const Named& one : named)
    document["findings"].push_back(
        {{"check", one.check}, {"level", to_string(one.finding.level)}, {"text", one.finding.text}, {"remedy", one.finding.remedy}});
  print_json(session.out, document);
}

}  // namespace

void add_doctor_command(CLI::App& app, Session& session) {
  CLI::App* doctor = add_reading(app, session, "doctor", "Say what is wrong, and what to do about it");
  doctor->footer("Exit status 1 when there is a problem; warnings and notes leave it 0.");
  doctor->callback([&session] { run_doctor(session); });
}

}  // namespace tmem::tool
