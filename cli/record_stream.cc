#include "cli/record_stream.h"

#include <algorithm>
#include <thread>

namespace engram::cli {
namespace {

constexpr size_t kChunkTextBytes = 256u << 10;
constexpr size_t kChunkRecords = 64;

}  // namespace

RecordStream::RecordStream(Console& console, const MemoryStyle& style)
    : console_(console),
      style_(style),
      in_flight_max_(2 * std::max(1u, std::thread::hardware_concurrency())) {}

bool RecordStream::AppendRecord(const engram_se_memory& memory) {
  size_t gap = 0;
  if (plugin::AppendMemoryJsonWithGap(memory, style_, &chunk_.text, &gap)) {
    chunk_.gaps.push_back(gap);
    chunk_.floats.insert(chunk_.floats.end(), memory.embedding,
                         memory.embedding + ENGRAM_SE_EMBEDDING_DIMENSION);
  }
  if (chunk_.text.size() >= kChunkTextBytes || chunk_.gaps.size() >= kChunkRecords) StartChunk();
  return status_.ok();
}

bool RecordStream::Flush() {
  StartChunk();
  while (!in_flight_.empty()) WriteFront();
  return status_.ok();
}

std::string RecordStream::Format(const Chunk& chunk, FloatStyle floats) {
  std::string out;
  out.reserve(chunk.text.size() + 13 * chunk.floats.size());
  size_t done = 0;
  for (size_t i = 0; i < chunk.gaps.size(); ++i) {
    out.append(chunk.text, done, chunk.gaps[i] - done);
    done = chunk.gaps[i];
    plugin::AppendEmbeddingJson(chunk.floats.data() + i * ENGRAM_SE_EMBEDDING_DIMENSION, floats,
                                &out);
  }
  return out.append(chunk.text, done);
}

void RecordStream::StartChunk() {
  if (chunk_.text.empty()) return;
  // Without embeddings there is nothing worth a thread.
  const auto policy = chunk_.gaps.empty() ? std::launch::deferred : std::launch::async;
  in_flight_.push_back(
      std::async(policy, [chunk = std::exchange(chunk_, {}), floats = style_.floats] {
        return Format(chunk, floats);
      }));
  while (in_flight_.size() > in_flight_max_) WriteFront();
}

void RecordStream::WriteFront() {
  const std::string text = in_flight_.front().get();
  in_flight_.pop_front();
  if (status_.ok()) status_ = console_.Write(text);
}

}  // namespace engram::cli
