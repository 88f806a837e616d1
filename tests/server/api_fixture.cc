#include "tests/server/api_fixture.h"

#include "server/api/openapi.h"
#include "server/http/url.h"

namespace engram::server::testing {
namespace {

Answer ToAnswer(const Response& response) {
  Answer answer;
  answer.status = response.status;
  answer.headers = response.headers;
  if (!response.body.empty()) {
    answer.body = Json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  }
  return answer;
}

}  // namespace

ApiTest::ApiTest() { Start(); }
ApiTest::~ApiTest() { Stop(); }

void ApiTest::Start() {
  ConfigSet::Inputs inputs;
  inputs.runtime_file = "";
  config_ = std::make_unique<ConfigSet>(Must(ConfigSet::Load(inputs)));
  SpaceRegistry::Options options;
  options.data_root = root_.path();
  options.opened = [this](const SpaceHandle& space) {
    if (scheduler_ != nullptr) scheduler_->SpaceOpened(space);
  };
  options.closing = [this](ServedSpace& space) {
    if (scheduler_ != nullptr) scheduler_->SpaceClosing(space);
  };
  spaces_ = std::make_unique<SpaceRegistry>(OpenEngine(root_.path()), options, Logger::Null());
  metrics_ = ServerMetrics::Make("test", root_.path());
  MigrationScheduler::Options no_migration;
  no_migration.enabled = false;
  scheduler_ =
      Must(MigrationScheduler::Start(*spaces_, no_migration, Clock::System(), Logger::Null()));
  router_ = std::make_unique<Router>();
  const ApiContext context{*spaces_,        *scheduler_,    *metrics_, *config_, changing_,
                           Clock::System(), Logger::Null(), "test",    [] {}};
  AddMemoryRoutes(context, router_.get());
  AddRecallRoutes(context, router_.get());
  AddGraphRoutes(context, router_.get());
  AddSpaceRoutes(context, router_.get());
  AddHealthRoutes(context, router_.get());
  AddMetricsRoutes(context, router_.get());
  AddAdminRoutes(context, router_.get());
  AddRecordRoutes(context, router_.get());
  AddStreamRoutes(context, router_.get());
  AddDocsRoutes(context, router_.get());
}

void ApiTest::Stop() {
  scheduler_->Stop();
  Must(spaces_->Close());
  scheduler_.reset();
}

void ApiTest::Restart() {
  Stop();
  Start();
}

Response ApiTest::Send(Method method, const std::string& target, const std::string& body,
                       const Headers& headers) {
  const size_t mark = target.find('?');
  const Router::Match match = router_->Find(method, std::string_view(target).substr(0, mark));
  if (match.route == nullptr) return Response::Empty(match.allowed.empty() ? 404 : 405);
  Request request;
  request.method = method;
  request.path_params = match.path_params;
  request.headers = headers;
  request.body = body;
  if (mark != std::string::npos) {
    EXPECT_TRUE(ParseQuery(std::string_view(target).substr(mark + 1), &request.query));
  }
  request.may_block = match.route->execution != Execution::kInlineFirst;
  Response response = match.route->handler(request);
  if (response.pending != nullptr) response = response.pending->finish();
  if (response.defer) {
    request.may_block = true;
    response = match.route->handler(request);
  }
  EXPECT_TRUE(StatusesOf(*match.route).contains(std::to_string(response.status)))
      << MethodName(method) << " " << match.route->pattern << " answers " << response.status
      << ", and the OpenAPI document does not say so";
  return response;
}

Answer ApiTest::Get(const std::string& target, const Headers& headers) {
  return ToAnswer(Send(Method::kGet, target, "", headers));
}
Answer ApiTest::Delete(const std::string& target, const Headers& headers) {
  return ToAnswer(Send(Method::kDelete, target, "", headers));
}
Answer ApiTest::Post(const std::string& target, const Json& body, const Headers& headers) {
  return PostText(target, body.dump(), headers);
}
Answer ApiTest::PostText(const std::string& target, const std::string& body,
                         const Headers& headers) {
  return ToAnswer(Send(Method::kPost, target, body, headers));
}

std::vector<float> SomeEmbedding(int seed) {
  const Vector vector = TextVector("seed " + std::to_string(seed));
  return {vector.begin(), vector.end()};
}

}  // namespace engram::server::testing
