// The routes over a real engine, called without a listener: requests as verbs, answers as JSON.
#ifndef ENGRAM_TESTS_SERVER_API_FIXTURE_H_
#define ENGRAM_TESTS_SERVER_API_FIXTURE_H_

#include <gmock/gmock.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "server/api/context.h"
#include "tests/server/engine_fixture.h"

namespace engram::server::testing {

using Json = nlohmann::json;

struct Answer {
  int status = 0;
  Json body;
  std::vector<std::pair<std::string, std::string>> headers;

  std::string code() const { return body.value("/error/code"_json_pointer, ""); }
  std::string message() const { return body.value("/error/message"_json_pointer, ""); }
};

class ApiTest : public ::testing::Test {
 protected:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  ApiTest();
  ~ApiTest() override;

  // `target` as in a request line, percent-encoded.
  Answer Get(const std::string& target, const Headers& headers = {});
  Answer Delete(const std::string& target, const Headers& headers = {});
  Answer Post(const std::string& target, const Json& body, const Headers& headers = {});
  Answer PostText(const std::string& target, const std::string& body, const Headers& headers = {});
  // As the listener runs it: inline first where the route wants that, then where it may block.
  Response Send(Method method, const std::string& target, const std::string& body = "",
                const Headers& headers = {});

  // Closes everything and opens it again.
  void Restart();
  SpaceHandle Space(const std::string& name = "default") {
    return Must(spaces_->FindOrCreate(name));
  }

  engram::testing::TempDir root_ = engram::testing::TempDir::InMemory();
  std::unique_ptr<SpaceRegistry> spaces_;
  std::unique_ptr<MigrationScheduler> scheduler_;
  std::unique_ptr<ServerMetrics> metrics_;
  std::unique_ptr<ConfigSet> config_;
  Mutex changing_;
  std::unique_ptr<Router> router_;

 private:
  void Start();
  void Stop();
};

// The 768 numbers of a vector of `seed`'s own.
std::vector<float> SomeEmbedding(int seed);

}  // namespace engram::server::testing

#endif  // ENGRAM_TESTS_SERVER_API_FIXTURE_H_
