#include "server/api/openapi.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "base/ascii.h"
#include "server/api/route_docs.h"

namespace engram::server {
namespace {

using Json = nlohmann::ordered_json;

const RouteDoc* DocOf(const Route& route) {
  for (const RouteDoc& doc : RouteDocs()) {
    if (doc.method == route.method && doc.pattern == route.pattern) return &doc;
  }
  return nullptr;
}

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t end = text.find(' ');
    if (end != 0) words.emplace_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return words;
}

// "limit:integer", "what:string!"
struct Field {
  std::string name, type;
  bool required = false;
};

std::vector<Field> Fields(std::string_view list) {
  std::vector<Field> fields;
  for (const std::string& word : Words(list)) {
    Field field;
    field.name = word.substr(0, word.find(':'));
    field.type = word.substr(word.find(':') + 1);
    field.required = field.type.ends_with('!');
    if (field.required) field.type.pop_back();
    fields.push_back(std::move(field));
  }
  return fields;
}

Json SchemaOf(const std::string& type) {
  Json schema = {{"type", type}};
  if (type == "array") schema["items"] = Json::object();
  return schema;
}

Json Parameters(const RouteDoc& doc) {
  Json parameters = Json::array();
  std::string_view rest = doc.pattern;
  for (size_t open = rest.find('{'); open != std::string_view::npos; open = rest.find('{')) {
    const size_t close = rest.find('}', open);
    parameters.push_back({{"name", rest.substr(open + 1, close - open - 1)},
                          {"in", "path"},
                          {"required", true},
                          {"schema", {{"type", "string"}}}});
    rest.remove_prefix(close);
  }
  for (const Field& field : Fields(doc.query)) {
    parameters.push_back({{"name", field.name}, {"in", "query"}, {"schema", SchemaOf(field.type)}});
    if (field.name != "space") continue;
    parameters.push_back({{"$ref", "#/components/parameters/MemorySpace"}});
  }
  return parameters;
}

Json RequestBody(const RouteDoc& doc) {
  Json properties = Json::object(), required = Json::array();
  for (const Field& field : Fields(doc.body)) {
    properties[field.name] = SchemaOf(field.type);
    if (field.required) required.push_back(field.name);
  }
  Json schema = {{"type", "object"}, {"properties", properties}};
  if (!required.empty()) schema["required"] = required;
  return {{"required", !required.empty()},
          {"content", {{"application/json", {{"schema", schema}}}}}};
}

std::string StatusText(const std::string& status) {
  static const std::pair<const char*, const char*> kTexts[] = {
      {"200", "Done"},
      {"201", "Stored, durably"},
      {"400", "The request cannot be taken"},
      {"401", "Without the key, or with another"},
      {"403", "Not from here"},
      {"404", "There is none"},
      {"409", "Not in this state"},
      {"413", "The body is too large"},
      {"415", "The body is not declared as JSON"},
      {"422", "JSON of another shape"},
      {"500", "The server or the store failed"},
      {"501", "Not available"},
      {"503", "Not now: try again"},
  };
  for (const auto& [code, text] : kTexts) {
    if (status == code) return text;
  }
  return status;
}

Json Responses(const Route& route, const RouteDoc& doc) {
  Json responses = Json::object();
  for (const std::string& status : StatusesOf(route)) {
    Json response = {{"description", StatusText(status)}};
    if (status[0] == '2') {
      response["content"] = {{std::string(doc.media_type), {{"schema", Json::object()}}}};
    } else {
      response["content"] = {
          {"application/json", {{"schema", {{"$ref", "#/components/schemas/Error"}}}}}};
    }
    responses[status] = response;
  }
  return responses;
}

Json Operation(const Route& route, const RouteDoc& doc) {
  Json operation = {{"tags", {doc.tag}},
                    {"summary", doc.summary},
                    {"parameters", Parameters(doc)},
                    {"responses", Responses(route, doc)}};
  if (!doc.body.empty()) operation["requestBody"] = RequestBody(doc);
  if (route.guard == Guard::kNone) operation["security"] = Json::array();
  return operation;
}

Json Components() {
  const Json text = {{"type", "string"}};
  Json error = {{"type", "object"},
                {"properties",
                 {{"error",
                   {{"type", "object"},
                    {"properties",
                     {{"code", text},
                      {"message", text},
                      {"educational_context", text},
                      {"cognitive_guidance", text}}}}},
                  {"documentation", {{"type", "object"}}}}}};
  Json space = {{"name", "X-Memory-Space"},
                {"in", "header"},
                {"description", "The memory space; wins over the query and the body"},
                {"schema", text}};
  return {{"schemas", {{"Error", error}}},
          {"parameters", {{"MemorySpace", space}}},
          {"securitySchemes", {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}}}}};
}

void AppendEscaped(std::string_view text, std::string* html) {
  for (const char c : text) {
    if (c == '<') {
      *html += "&lt;";
    } else if (c == '&') {
      *html += "&amp;";
    } else {
      *html += c;
    }
  }
}

void AppendRow(const Route& route, const RouteDoc& doc, std::string* html) {
  *html += "<tr><td><code>";
  *html += MethodName(route.method);
  *html += ' ';
  AppendEscaped(route.pattern, html);
  *html += "</code></td><td>";
  AppendEscaped(doc.summary, html);
  for (const auto& [label, fields] : {std::pair{"query", doc.query}, {"body", doc.body}}) {
    if (fields.empty()) continue;
    *html += std::string("<br><small>") + label + ":";
    for (const Field& field : Fields(fields)) {
      *html += " <code>" + field.name + (field.required ? "*" : "") + "</code>";
    }
    *html += "</small>";
  }
  *html += "</td><td>";
  std::string_view between;
  for (const std::string& status : StatusesOf(route)) {
    *html += std::string(between) + status;
    between = " ";
  }
  *html += "</td></tr>\n";
}

}  // namespace

std::set<std::string> StatusesOf(const Route& route) {
  const RouteDoc* doc = DocOf(route);
  if (doc == nullptr) return {};
  const std::vector<std::string> said = Words(doc->statuses);
  std::set<std::string> statuses(said.begin(), said.end());
  if (route.guard != Guard::kNone) statuses.insert("401");
  if (route.guard == Guard::kControl) statuses.insert("403");
  if (route.takes_json) statuses.insert("415");
  if (route.method == Method::kPost) statuses.insert("413");
  if (route.execution != Execution::kInline) statuses.insert({"500", "503"});
  return statuses;
}

std::string OpenApiJson(const Router& router, const std::string& version) {
  Json document = {
      {"openapi", "3.0.3"},
      {"info",
       {{"title", "Engram"},
        {"version", version},
        {"description", "A graph store of memories. docs/http-api.md has the whole contract."}}},
      {"security", Json::array({{{"bearer", Json::array()}}, Json::object()})},
      {"paths", Json::object()},
      {"components", Components()}};
  for (const Route& route : router.routes()) {
    const RouteDoc* doc = DocOf(route);
    if (doc == nullptr) continue;
    document["paths"][route.pattern][LowerAscii(MethodName(route.method))] = Operation(route, *doc);
  }
  return document.dump();
}

std::string DocsHtml(const Router& router, const std::string& version) {
  std::string html =
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Engram HTTP "
      "interface</title><style>body{font-family:sans-serif;margin:2em;max-width:70em}"
      "td{vertical-align:top;padding:.3em .8em .3em 0;border-top:1px solid #ddd}</style></head>"
      "<body><h1>Engram HTTP interface</h1><p>Version ";
  AppendEscaped(version, &html);
  html +=
      ". The same for programs: <a href=\"/api-docs/openapi.json\">openapi.json</a>. The memory "
      "space is named by the header <code>X-Memory-Space</code>, the query parameter "
      "<code>space</code> or the body key <code>memory_space_id</code>.</p><table>\n";
  for (const Route& route : router.routes()) {
    const RouteDoc* doc = DocOf(route);
    if (doc != nullptr) AppendRow(route, *doc, &html);
  }
  return html + "</table></body></html>\n";
}

}  // namespace engram::server
