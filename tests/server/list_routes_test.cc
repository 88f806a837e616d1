// Pages of the list across flips of the flag.
#include <gtest/gtest.h>

#include "tests/server/api_fixture.h"

namespace engram::server::testing {
namespace {

class ListRoutesTest : public ApiTest {
 protected:
  void PutConcept(const std::string& id) {
    const std::vector<float> centroid = SomeEmbedding(7);
    engram_se_memory node{};
    node.struct_size = sizeof node;
    node.node_type = ENGRAM_SE_NODE_CONCEPT;
    node.id = plugin::ToBytes(id);
    node.embedding = centroid.data();
    node.formation_time = plugin::ToBytes("2025-01-01T00:00:00Z");
    const WriteScope scope(*spaces_, Space());
    Must(Space()->space->PutNode(node).status());
    Must(Space()->space->UpdateActivation(id, 0.5f).status());
  }
};

// A page carries no part of a record that depends on the form it is stored in, so the mode is no
// part of its version.
TEST_F(ListRoutesTest, ACachedPageIsWhatWouldBeRenderedAfterAFlipOfTheFlag) {
  for (const char* id : {"a", "b", "c"}) {
    ASSERT_EQ(Post("/api/v1/memories", {{"id", id}, {"content", id}}).status, 201);
  }
  for (size_t flip = 0; flip < 4; ++flip) {
    const bool on = flip % 2 == 0;
    PutConcept("concept-" + std::to_string(flip));
    const Json before = Get("/api/v1/memories?tier=all").body;  // is cached from here on
    ASSERT_EQ(before["memories"].size(), 4 + flip);
    Must(scheduler_->SetDualMemoryTypes(on));
    const Json cached = Get("/api/v1/memories?tier=all").body;
    const Json rendered = Get("/api/v1/memories?tier=all&limit=999").body;
    for (const char* key : {"memories", "count", "total", "tier_counts"}) {
      EXPECT_EQ(cached[key], rendered[key]) << key << (on ? ", on" : ", off");
    }
  }
}

}  // namespace
}  // namespace engram::server::testing
