// A backend on a store of one kind, with verbs for tests and a check of the whole store against
// what the test says was acknowledged.
#ifndef ENGRAM_TESTS_COMPAT_BACKEND_FIXTURE_H_
#define ENGRAM_TESTS_COMPAT_BACKEND_FIXTURE_H_

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compat/memory_backend.h"
#include "tests/compat/fake_store.h"
#include "tests/testing/record_generator.h"
#include "tests/testing/temp_dir.h"

namespace engram::compat::testing {

using engine::Embedding;
using engine::Extension;
using engine::Memory;
using engine::Mode;

enum class StoreKind { kFake, kPwrite, kUring };
// Every kind that works here: without io_uring in the kernel there is no kUring.
std::vector<StoreKind> AllStores();
void PrintTo(StoreKind kind, std::ostream* out);
std::string KindName(const ::testing::TestParamInfo<StoreKind>& info);

// Fails the test program at once: for what a test cannot go on without.
void CheckOk(const Status& status, const char* what);
template <typename T>
T Must(Result<T> result) {
  CheckOk(result.status(), "Must");
  return std::move(result).value();
}
inline void Must(const Status& status) { CheckOk(status, "Must"); }

// What was acknowledged for one id.
struct Acknowledged {
  Memory memory;
  Embedding embedding;
  Extension extension;
};
using Ledger = std::map<std::string, Acknowledged>;

// A store that can be closed and opened again, and a backend on it.
class Bench {
 public:
  explicit Bench(StoreKind kind, const BackendOptions& options = {});

  MemoryBackend& backend() { return *backend_; }
  engine::Store& store() { return *store_; }
  FakeStore& fake() { return static_cast<FakeStore&>(*store_); }
  StoreKind kind() const { return kind_; }
  const std::string& directory() const { return directory_.path(); }
  // Closes and opens again: nothing may change. The fake only gets a new backend.
  void Reopen(const BackendOptions& options = {},
              engine::Access access = engine::Access::kReadWrite);

  engine::StoredRecord Stored(std::string_view id);  // REQUIRES: there is a record
  engine::Counts Counts();

 private:
  void Open(const BackendOptions& options, engine::Access access);

  const StoreKind kind_;
  engram::testing::TempDir directory_ = engram::testing::TempDir::InMemory();
  std::unique_ptr<engine::Store> store_;
  std::unique_ptr<MemoryBackend> backend_;
};

// Distinct content for every `seed`.
Acknowledged MakeMemory(std::string_view id, uint64_t seed);
Extension MakeConcept(uint64_t seed);

// "" or what differs from what was acknowledged (nothing: there must be no record).
std::string Difference(MemoryBackend& backend, std::string_view id,
                       const std::optional<Acknowledged>& expected);
// Every bit of what the backend serves for `id` is what was acknowledged.
void ExpectServed(MemoryBackend& backend, std::string_view id, const Acknowledged& expected);
// The scan has exactly the ledger's records, and the store's counts and digests are those
// recomputed from what the scan returned.
void ExpectStoreEquals(Bench& bench, const Ledger& ledger);
// Tier counts and digests recomputed from decoded fields and embedding bytes.
void ExpectDigestsRecompute(Bench& bench);
// Edge and binding digests recomputed as docs/format/digest.md says. The fake keeps none.
void ExpectEdgeDigestsRecompute(Bench& bench);

class BackendTest : public ::testing::TestWithParam<StoreKind> {
 protected:
  Bench bench_{GetParam()};
  MemoryBackend& backend() { return bench_.backend(); }
  Acknowledged Put(std::string_view id, uint64_t seed = 1) {
    Acknowledged a = MakeMemory(id, seed);
    Must(backend().Put(a.memory, a.embedding));
    return a;
  }
  float Activation(std::string_view id) {
    return Must(backend().Get(id, nullptr))->memory.activation;
  }
};

}  // namespace engram::compat::testing

#endif  // ENGRAM_TESTS_COMPAT_BACKEND_FIXTURE_H_
