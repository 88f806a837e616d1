// Reports of jobs as text for people. The JSON object is the truth; this shows what matters of it.
#ifndef ENGRAM_CLI_REPORT_TEXT_H_
#define ENGRAM_CLI_REPORT_TEXT_H_

#include <nlohmann/json.hpp>
#include <string>

namespace engram::cli {

using Report = nlohmann::ordered_json;

// Several lines without a final line end. Missing keys are left out.
std::string MigrateText(const Report& report);
std::string VerifyText(const Report& report);
std::string RollbackText(const Report& report);
std::string SalvageText(const Report& report);
std::string StateRollbackText(const Report& report);
std::string ModesText(const Report& report);
std::string CompactText(const Report& report);
// The migration of each space; of many the ones with something to say, and the others together.
std::string StatusText(const Report& report);
// One line about one space of it.
std::string SpaceProgressText(const Report& space);
std::string SpacesText(const Report& report);  // a table, one line a space
// "key: value" lines, for reports without a text of their own.
std::string PlainText(const Report& report);

}  // namespace engram::cli

#endif  // ENGRAM_CLI_REPORT_TEXT_H_
