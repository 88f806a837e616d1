// Writes records as JSON to stdout in large pieces. Printing 768 floats costs more than reading
// them, so chunks with embeddings are formatted on other threads and written in their order.
#ifndef ENGRAM_CLI_RECORD_STREAM_H_
#define ENGRAM_CLI_RECORD_STREAM_H_

#include <deque>
#include <future>
#include <string>
#include <vector>

#include "cli/console.h"
#include "plugin/loader/memory_json.h"

namespace engram::cli {

using plugin::MemoryStyle;

// One thread.
class RecordStream {
 public:
  RecordStream(Console& console, const MemoryStyle& style);

  // Appends text as it is, in order with the records.
  void Append(std::string_view text) { chunk_.text += text; }
  // Copies what it needs of `memory`. False once writing has failed.
  bool AppendRecord(const engram_se_memory& memory);
  // Writes everything that was appended.
  bool Flush();
  const Status& status() const { return status_; }

 private:
  // Text with gaps: an embedding belongs at each offset.
  struct Chunk {
    std::string text;
    std::vector<size_t> gaps;
    std::vector<float> floats;  // 768 for each gap
  };
  static std::string Format(const Chunk& chunk, FloatStyle floats);
  void StartChunk();
  void WriteFront();

  Console& console_;
  const MemoryStyle style_;
  const size_t in_flight_max_;
  Chunk chunk_;
  std::deque<std::future<std::string>> in_flight_;
  Status status_;
};

}  // namespace engram::cli

#endif  // ENGRAM_CLI_RECORD_STREAM_H_
