#include "server/migration/source_findings.h"

#include <nlohmann/json.hpp>

namespace engram::server {
namespace {

using nlohmann::json;

constexpr char kFileName[] = "upstream-findings.json";

// 0 and "" for what is not there or of another type.
uint64_t NumberOf(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}
std::string TextOf(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

void AddPlaces(const json& list, const std::string& folder, bool quarantined, const char* what,
               SourceFindings* findings) {
  if (!list.is_array()) return;
  for (const json& place : list) {
    if (!place.is_object()) continue;
    ++(quarantined ? findings->quarantined : findings->damaged);
    const uint64_t length = NumberOf(place, "length");
    findings->damaged_bytes += length;
    if (findings->places.size() == SourceFindings::kPlacesMax) continue;
    findings->places.push_back({folder + TextOf(place, "file"), NumberOf(place, "offset"), length,
                                quarantined, TextOf(place, what)});
  }
}

SourceFindings FromJson(const json& object) {
  SourceFindings findings;
  findings.records = NumberOf(object, "records");
  findings.damaged = NumberOf(object, "damaged");
  findings.damaged_bytes = NumberOf(object, "damaged_bytes");
  findings.quarantined = NumberOf(object, "quarantined");
  findings.other_types = NumberOf(object, "other_types");
  const auto places = object.find("places");
  if (places == object.end() || !places->is_array()) return findings;
  for (const json& place : *places) {
    if (!place.is_object() || findings.places.size() == SourceFindings::kPlacesMax) continue;
    findings.places.push_back({TextOf(place, "file"), NumberOf(place, "offset"),
                               NumberOf(place, "length"), TextOf(place, "finding") == "quarantined",
                               TextOf(place, "what")});
  }
  return findings;
}

std::string Counted(uint64_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

}  // namespace

std::string SourceFindings::Summary() const {
  return Counted(damaged, "damaged place", "damaged places") + ", " +
         Counted(quarantined, "record that cannot be decoded", "records that cannot be decoded");
}

std::optional<SourceFindings> FindingsOf(std::string_view report, const std::string& folder) {
  const json parsed = json::parse(report, nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  const auto source = parsed.find("source");
  if (source == parsed.end() || !source->is_object()) return std::nullopt;
  SourceFindings findings;
  findings.records = NumberOf(*source, "records");
  findings.other_types = NumberOf(*source, "other_types");
  AddPlaces(source->value("damaged", json::array()), folder, false, "kind", &findings);
  AddPlaces(source->value("quarantined", json::array()), folder, true, "reason", &findings);
  return findings;
}

json ToJson(const SourceFindings& findings) {
  json places = json::array();
  for (const SourceFindings::Place& place : findings.places) {
    places.push_back({{"file", place.file},
                      {"offset", place.offset},
                      {"length", place.length},
                      {"finding", place.quarantined ? "quarantined" : "damaged"},
                      {"what", place.what}});
  }
  return {{"records", findings.records},
          {"damaged", findings.damaged},
          {"damaged_bytes", findings.damaged_bytes},
          {"quarantined", findings.quarantined},
          {"other_types", findings.other_types},
          {"places", std::move(places)}};
}

FindingsRegister FindingsRegister::Load(FileSystem& fs, const std::string& data_root) {
  FindingsRegister loaded(SpacesFile(fs, data_root, kFileName));
  const auto spaces = loaded.file_.Read("");
  if (!spaces.ok() || !spaces->is_object()) return loaded;
  for (const auto& [space, findings] : spaces->items()) {
    if (findings.is_object()) loaded.spaces_[space] = FromJson(findings);
  }
  return loaded;
}

Status FindingsRegister::Set(const std::string& space, SourceFindings findings) {
  spaces_[space] = std::move(findings);
  return Keep();
}

Status FindingsRegister::Retain(const std::set<std::string>& spaces) {
  const size_t forgotten =
      std::erase_if(spaces_, [&](const auto& entry) { return !spaces.contains(entry.first); });
  return forgotten == 0 ? Status::Ok() : Keep();
}

Status FindingsRegister::Keep() {
  if (file_.path().empty()) return Status::Ok();
  json spaces = json::object();
  for (const auto& [space, findings] : spaces_) spaces[space] = ToJson(findings);
  return file_.Write(spaces);
}

}  // namespace engram::server
