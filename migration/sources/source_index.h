// Pass 1 of an ingest: reads every log file of a space once and remembers, for each id, which
// records make up its memory. Holds no payload: ids and positions live in memory-mapped temporary
// files (about 120 bytes and the id per record), everything else is counters and lists.
#ifndef ENGRAM_MIGRATION_SOURCES_SOURCE_INDEX_H_
#define ENGRAM_MIGRATION_SOURCES_SOURCE_INDEX_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/crypto.h"
#include "base/file_system.h"
#include "base/result.h"
#include "migration/checkpoint.h"
#include "migration/ingest.h"
#include "migration/sources/log_scanner.h"
#include "migration/sources/mapped_vector.h"
#include "migration/sources/merge.h"
#include "migration/sources/source.h"

namespace engram::migration {

// Where an intact record stands.
struct RecordRef {
  uint32_t file = 0;  // into SourceSpace::files
  uint32_t type = 0;
  uint64_t offset = 0;  // of its header
  uint32_t payload_size_bytes = 0;
  uint32_t payload_crc = 0;
};

// A record that is kept verbatim: undecodable, or of a type outside 1-6.
struct QuarantinedRecord {
  RecordRef ref;
  std::string reason;
};

class SourceIndex {
 public:
  struct Options {
    // Path -> size up to which the file's hash is wanted too: what an earlier run has seen of it.
    std::map<std::string, uint64_t> known_sizes;
    std::function<void(uint64_t bytes_done, uint64_t bytes_total)> progress;
    const std::atomic<bool>* cancel = nullptr;
  };
  // Opens the files read-only. kCancelled when asked to stop. The hashes may still be on their way:
  // extents(), files_now() and source_hash() are valid after WaitForHashes().
  static Result<std::unique_ptr<SourceIndex>> Build(FileSystem& fs, const SourceSpace& space,
                                                    const Options& options);

  ~SourceIndex();
  Status WaitForHashes();

  const SourceCounters& counters() const { return counters_; }
  uint64_t found() const { return found_; }      // ids with a memory
  uint64_t deleted() const { return deleted_; }  // ids that had one
  const std::vector<QuarantinedRecord>& quarantined() const { return quarantined_; }

  // What was read of each file, sorted by path; `now` has the hash of the known prefix beside it.
  const std::vector<SourceExtent>& extents() const { return extents_; }
  const std::vector<SourceFileNow>& files_now() const { return files_now_; }
  Sha256Digest source_hash() const;

  // Ids in the order of their first appearance in the log; dead ones (deleted) included.
  uint64_t id_count() const { return ids_.size(); }
  std::string_view id(uint64_t i) const;
  bool alive(uint64_t i) const { return !ids_[i].versions.empty(); }
  // The records whose merge is the memory of id `i`, oldest first.
  void Contributions(uint64_t i, std::vector<RecordRef>* out) const;
  // A number of the caller's own per id; 0 at first.
  uint64_t tag(uint64_t i) const { return ids_[i].tag; }
  void set_tag(uint64_t i, uint64_t tag) { ids_[i].tag = tag; }

  // The files stay open for reading records back. Safe from several threads.
  File& file(uint32_t i) const { return *files_[i].file; }

 private:
  struct Id {
    uint64_t hash;
    uint64_t text_offset;
    uint64_t tag;
    uint32_t text_size_bytes;
    uint32_t has_been_alive;
    VersionSet versions;
  };
  struct Version {
    uint64_t header_hash;
    uint64_t offset;
    uint32_t file;
    uint32_t type;
    uint32_t payload_size_bytes;
    uint32_t payload_crc;
  };
  struct OpenFile {
    std::unique_ptr<File> file;
    uint64_t size_bytes = 0;
  };

  SourceIndex(const SourceSpace& space, const Options& options)
      : space_(space), options_(options) {}
  Status Open(FileSystem& fs);
  Status Scan();
  Status ScanFile(uint32_t file);
  Status HashFiles();
  Status Add(uint32_t file, const LogScanner::Event& record);
  Status AddMemory(const RecordRef& ref, const LogScanner::Event& record);
  Status Delete(Bytes id);
  void Quarantine(const RecordRef& ref, const std::string& reason);
  Result<bool> IsDuplicate(uint64_t header_hash, const LogScanner::Event& record);
  Result<bool> SameRecord(const Version& version, const LogScanner::Event& record);
  Result<uint64_t> FindOrAddId(std::string_view id);
  uint64_t* IdSlot(uint64_t hash, std::string_view id);
  Status GrowIdTable();
  Status GrowHeaderTable();
  bool Cancelled() const {
    return options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed);
  }

  const SourceSpace space_;
  const Options options_;
  std::vector<OpenFile> files_;
  uint64_t total_bytes_ = 0;

  SourceCounters counters_;
  uint64_t found_ = 0;
  uint64_t deleted_ = 0;
  std::vector<QuarantinedRecord> quarantined_;
  std::vector<SourceExtent> extents_;
  std::vector<SourceFileNow> files_now_;

  MappedVector<Id> ids_;
  MappedVector<char> texts_;
  MappedVector<Version> versions_;
  // Open addressing; a slot holds an index plus one. Sizes are powers of two.
  std::unique_ptr<MappedVector<uint64_t>> id_table_;
  std::unique_ptr<MappedVector<uint64_t>> header_table_;
  FileSystem* fs_ = nullptr;
  compat::UpstreamRecord scratch_;
  std::vector<uint8_t> compare_buffer_;
  std::atomic<bool> stop_hashing_{false};
  std::thread hasher_;
  Status hashed_;  // written by hasher_, read after joining it
};

// SHA-256 over path, size and hash of each extent.
Sha256Digest HashExtents(const std::vector<SourceExtent>& extents);

}  // namespace engram::migration

#endif  // ENGRAM_MIGRATION_SOURCES_SOURCE_INDEX_H_
