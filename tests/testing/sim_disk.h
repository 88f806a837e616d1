// A seeded simulated disk. What is written and not flushed is kept apart from what is durable; when
// the power goes, a random part of it survives. POSIX promises no more, and neither does this:
//
// - A file has a durable image and an ordered list of unflushed writes and truncates. At a crash
//   each of them survives or not, whole or torn at 512-byte sectors; a lost write may still have
//   extended the file with zeros.
// - A name (create, rename, unlink, mkdir, rmdir) is durable after SyncDirectory of its directory,
//   no earlier: flushing the file does not keep its name. A rename is atomic.
// - A failed flush loses its writes for good: the next flush succeeds without them, as Linux does.
// - A sector holds what the page cache held when it was written, so a later write never survives
//   without an earlier one in the same sector.
//
// Every call can be made to fail, to write short, or to be the last one before the crash. Single
// flushes can be ignored, to prove that a test notices. Thread-safe; deterministic on one thread.
// Paths are relative to the root: "dual/log/0000000000000001.seg".
#ifndef ENGRAM_TESTS_TESTING_SIM_DISK_H_
#define ENGRAM_TESTS_TESTING_SIM_DISK_H_

#include <cerrno>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "tests/testing/random.h"

namespace engram::testing {

inline constexpr uint64_t kSectorSizeBytes = 512;

// What kind of call it is; faults can be limited to some kinds.
enum CallKind : uint32_t {
  kReadCall = 1,       // read, open, stat, list
  kWriteCall = 2,      // write, truncate
  kFlushCall = 4,      // flush of a file, completion of a queued write; durable writes: kWriteCall
  kNamespaceCall = 8,  // create, rename, unlink, mkdir, rmdir
  kDirectoryFlushCall = 16,
  kAnyCall = 31,
};

struct Fault {
  enum class Kind { kNone, kErrorOnce, kErrorForever, kShortWrite, kCrash };
  Kind kind = Kind::kNone;
  uint64_t call = 0;  // the 1-based call, among those of `calls`, that is hit
  uint32_t calls = kAnyCall;
  int error_number = EIO;
};

class SimDisk {
 public:
  using InodeId = uint64_t;
  struct Outcome {
    int error_number = 0;
    uint64_t size_bytes = 0;  // of what was done, also after an error
  };
  // Who asked for a flush: "sync", "durable write", "queued write", "sync directory" or "lmdb
  // sync"; the path; the address of the call.
  struct Flush {
    std::string_view verb;
    std::string path;
    const void* call_site = nullptr;
  };

  explicit SimDisk(uint64_t seed);
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;

  // --- Control ---------------------------------------------------------------------------------
  // Counts calls anew and plans one fault; replaces the one before.
  void Arm(const Fault& fault);
  uint64_t calls() const;  // of the armed kinds, since Arm()
  bool fault_fired() const;
  // Bytes that the files may hold together; ENOSPC above.
  void SetCapacity(uint64_t bytes);
  uint64_t used_bytes() const;
  // A flush whose class makes `ignore` true reports success and does nothing. A class is the verb,
  // the path with its numbers as "*", and the place of the call: "sync log/*.seg @12ab".
  void IgnoreFlushes(std::function<bool(std::string_view flush_class)> ignore);
  std::set<std::string> flush_classes() const;  // every class seen so far
  // After the crash every call fails with EIO, so that the crashed process can be torn down.
  bool crashed() const;
  // The power went: decides what survived and starts the next life of the disk. Handles of the old
  // one stay dead, locks are gone, no fault is armed, nothing is unflushed.
  void Restart();
  // Only the process died (kill -9): the same, but the page cache with all that is unflushed stays.
  void RestartProcess();
  uint64_t life() const;  // number of restarts
  uint64_t unflushed_count() const;

  // --- Calls; the numbers are errno values, 0 is success -----------------------------------------
  int Open(const std::string& path, OpenMode mode, InodeId* inode);
  Outcome Read(InodeId inode, uint64_t offset, std::span<uint8_t> out);
  Outcome Write(InodeId inode, uint64_t offset, Bytes bytes);
  Outcome WriteDurable(InodeId inode, uint64_t offset, Bytes bytes, const Flush& flush);
  // A write that may survive from now on and is durable after FinishQueued().
  Outcome SubmitQueued(InodeId inode, uint64_t offset, Bytes bytes);
  int FinishQueued(InodeId inode, uint64_t offset, uint64_t size_bytes, const Flush& flush);
  int Sync(InodeId inode, const Flush& flush);
  // The page cache forgets what is clean: bytes of a failed flush give way to what the disk has.
  void DropCache(InodeId inode);
  int Truncate(InodeId inode, uint64_t size_bytes);
  int Size(InodeId inode, uint64_t* size_bytes);
  int Rename(const std::string& from, const std::string& to);
  int Unlink(const std::string& path);
  int CreateDirectory(const std::string& path);
  int RemoveDirectory(const std::string& path);
  int SyncDirectory(const Flush& flush);
  int List(const std::string& path, std::vector<DirectoryEntry>* entries);
  int Stat(const std::string& path, FileInfo* info);
  int Space(DiskSpace* space);
  int Lock(const std::string& path, bool shared, InodeId* inode);
  void Unlock(InodeId inode, bool shared, uint64_t life);
  uint64_t Choose(uint64_t bound);  // a seeded number below `bound`

  // --- For the recorder of a library that does its own I/O
  // ----------------------------------------- An external file has a real twin that the library
  // maps and reads.
  void MarkExternal(InodeId inode);
  bool IsExternal(const std::string& path) const;
  struct Entry {
    std::string path;
    bool is_directory = false;
    bool is_external = false;
    InodeId inode = 0;
  };
  std::vector<Entry> Walk() const;  // everything, parents first
  std::string Image(InodeId inode) const;

 private:
  struct PendingWrite {
    uint64_t sequence = 0;
    bool is_truncate = false;
    uint64_t offset = 0;  // of a truncate: the new size
    std::string bytes;
    bool lost_by_failed_flush = false;
    uint64_t end() const { return offset + bytes.size(); }
  };
  struct Inode {
    bool is_directory = false;
    bool is_external = false;
    uint32_t links = 0;
    std::string current;
    std::string durable;
    std::vector<PendingWrite> pending;
    std::map<std::string, InodeId> entries;
    std::map<std::string, InodeId> durable_entries;
  };
  // One atomic change of names. `inode` 0 removes the name.
  struct NameChange {
    InodeId directory = 0;
    std::string name;
    InodeId inode = 0;
  };
  struct PendingNames {
    uint64_t sequence = 0;
    std::vector<NameChange> changes;
    bool Touches(InodeId directory) const;
  };
  struct Survival;  // the decisions of one crash
  struct LockState {
    uint32_t shared = 0;
    bool exclusive = false;
  };

  int Step(CallKind kind);
  bool ShortWriteFires(CallKind kind);
  bool Ignored(const Flush& flush);
  int Resolve(const std::string& path, InodeId* inode) const;
  int ResolveParent(const std::string& path, InodeId* parent, std::string* name) const;
  InodeId NewInode(bool is_directory);
  void ChangeNames(std::vector<NameChange> changes);
  uint64_t UsedBytes() const;
  Outcome WriteLocked(InodeId inode, uint64_t offset, Bytes bytes);
  void FlushRange(Inode* file, uint64_t offset, uint64_t size_bytes);
  static void LoseRange(Inode* file, uint64_t offset, uint64_t size_bytes);
  static void ApplyPending(const PendingWrite& write, std::string* image);
  void SurviveFile(Survival* survival, Inode* file);
  void SurviveWrite(Survival* survival, const PendingWrite& write, uint64_t size_bytes_max,
                    std::string* image);
  void SurviveNames(Survival* survival);
  void DropUnreachable();
  void StartLife();

  mutable std::mutex mutex_;
  Random random_;
  std::map<InodeId, Inode> inodes_;
  std::vector<PendingNames> pending_names_;
  std::map<InodeId, LockState> locks_;
  InodeId next_inode_ = 1;
  uint64_t sequence_ = 0;
  uint64_t capacity_bytes_ = uint64_t{1} << 40;
  uint64_t life_ = 0;
  bool crashed_ = false;
  Fault fault_;
  uint64_t calls_ = 0;
  bool fault_fired_ = false;
  std::function<bool(std::string_view)> ignore_;
  std::set<std::string> flush_classes_;
};

// "sync directory log @4f20" for one flush.
std::string FlushClassOf(const SimDisk::Flush& flush);

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_TESTING_SIM_DISK_H_
