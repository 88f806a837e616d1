// The real engine on a directory of its own.
#ifndef ENGRAM_TESTS_SERVER_ENGINE_FIXTURE_H_
#define ENGRAM_TESTS_SERVER_ENGINE_FIXTURE_H_

#include <gtest/gtest.h>
#include <signal.h>

#include <memory>
#include <string>

#include "base/check.h"
#include "plugin/loader/plugin_loader.h"
#include "server/graph/text_vector.h"
#include "tests/testing/temp_dir.h"

namespace engram::server::testing {

inline void Must(const Status& status) {
  if (!status.ok()) ADD_FAILURE() << status.ToString();
  ENGRAM_CHECK(status.ok());
}
template <typename T>
T Must(Result<T> result) {
  Must(result.status());
  return std::move(result).value();
}

// The engine's threads outlive a test, and inherit this: a signal that a later test of this program
// sends to itself must not end in one of them. As the server does before it loads an engine.
inline void BlockServerSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGHUP, SIGINT, SIGTERM}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

inline std::shared_ptr<plugin::Engine> OpenEngine(const std::string& data_root) {
  BlockServerSignals();
  static const auto plugin =
      Must(plugin::Plugin::Load(ENGRAM_BINARY_DIR "/lib/libengram_dual.so", Logger::Null()));
  return Must(plugin::Engine::Open(plugin, {.data_root = data_root}));
}

// Stores a memory with the vector of its text.
inline void StoreText(plugin::Space& space, const std::string& id, const std::string& text,
                      float activation = 0.9f) {
  const Vector vector = TextVector(text);
  engram_se_memory memory{};
  memory.struct_size = sizeof memory;
  memory.present = ENGRAM_SE_HAS_CONTENT;
  memory.id = plugin::ToBytes(id);
  memory.content = plugin::ToBytes(text);
  memory.embedding = vector.data();
  memory.activation = memory.confidence_encoding = activation;
  Must(space.Store(memory).status());
}

}  // namespace engram::server::testing

#endif  // ENGRAM_TESTS_SERVER_ENGINE_FIXTURE_H_
