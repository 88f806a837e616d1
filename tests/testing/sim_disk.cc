#include "tests/testing/sim_disk.h"

#include <dlfcn.h>

#include <algorithm>
#include <cctype>

#include "base/check.h"

namespace engram::testing {
namespace {

constexpr SimDisk::InodeId kRoot = 1;

uint64_t AlignDown(uint64_t offset) { return offset / kSectorSizeBytes * kSectorSizeBytes; }
uint64_t AlignUp(uint64_t offset) { return AlignDown(offset + kSectorSizeBytes - 1); }

void Overwrite(std::string* image, uint64_t offset, std::string_view bytes) {
  if (image->size() < offset + bytes.size()) image->resize(offset + bytes.size(), '\0');
  image->replace(offset, bytes.size(), bytes);
}

std::vector<std::string> Components(const std::string& path) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= path.size()) {
    size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) parts.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// Numbers and 16-digit hexadecimal names become "*".
std::string PathPattern(const std::string& path) {
  std::string out;
  for (size_t i = 0; i < path.size();) {
    size_t hex = i, digits = i;
    while (hex < path.size() && std::isxdigit(static_cast<unsigned char>(path[hex]))) ++hex;
    while (digits < path.size() && std::isdigit(static_cast<unsigned char>(path[digits]))) ++digits;
    size_t end = hex - i >= 16 ? hex : digits;
    if (end == i) {
      out.push_back(path[i++]);
    } else {
      out.push_back('*');
      i = end;
    }
  }
  return out;
}

}  // namespace

std::string FlushClassOf(const SimDisk::Flush& flush) {
  std::string name = std::string(flush.verb) + " " + PathPattern(flush.path);
  Dl_info info;
  if (flush.call_site == nullptr || dladdr(flush.call_site, &info) == 0) return name;
  char place[32];
  snprintf(place, sizeof place, " @%zx",
           static_cast<size_t>(static_cast<const char*>(flush.call_site) -
                               static_cast<const char*>(info.dli_fbase)));
  return name + place;
}

SimDisk::SimDisk(uint64_t seed) : random_(seed) {
  const InodeId root = NewInode(true);
  ENGRAM_CHECK(root == kRoot);
  inodes_[root].links = 1;
}

// --- Control -------------------------------------------------------------------------------------

void SimDisk::Arm(const Fault& fault) {
  std::lock_guard lock(mutex_);
  fault_ = fault;
  calls_ = 0;
  fault_fired_ = false;
}

uint64_t SimDisk::calls() const {
  std::lock_guard lock(mutex_);
  return calls_;
}

bool SimDisk::fault_fired() const {
  std::lock_guard lock(mutex_);
  return fault_fired_;
}

void SimDisk::SetCapacity(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  capacity_bytes_ = bytes;
}

uint64_t SimDisk::used_bytes() const {
  std::lock_guard lock(mutex_);
  return UsedBytes();
}

void SimDisk::IgnoreFlushes(std::function<bool(std::string_view)> ignore) {
  std::lock_guard lock(mutex_);
  ignore_ = std::move(ignore);
}

std::set<std::string> SimDisk::flush_classes() const {
  std::lock_guard lock(mutex_);
  return flush_classes_;
}

bool SimDisk::crashed() const {
  std::lock_guard lock(mutex_);
  return crashed_;
}

uint64_t SimDisk::life() const {
  std::lock_guard lock(mutex_);
  return life_;
}

uint64_t SimDisk::unflushed_count() const {
  std::lock_guard lock(mutex_);
  uint64_t count = pending_names_.size();
  for (const auto& [id, inode] : inodes_) count += inode.pending.size();
  return count;
}

uint64_t SimDisk::Choose(uint64_t bound) {
  std::lock_guard lock(mutex_);
  return random_.Below(bound);
}

int SimDisk::Step(CallKind kind) {
  if (crashed_) return EIO;
  if ((fault_.calls & kind) == 0) return 0;
  ++calls_;
  if (calls_ < fault_.call) return 0;
  const bool first = calls_ == fault_.call;
  switch (fault_.kind) {
    case Fault::Kind::kNone:
    case Fault::Kind::kShortWrite:
      return 0;
    case Fault::Kind::kErrorOnce:
      if (!first) return 0;
      break;
    case Fault::Kind::kErrorForever:
      break;
    case Fault::Kind::kCrash:
      crashed_ = true;
      break;
  }
  fault_fired_ = true;
  return crashed_ ? EIO : fault_.error_number;
}

bool SimDisk::ShortWriteFires(CallKind kind) {
  bool fires = fault_.kind == Fault::Kind::kShortWrite && (fault_.calls & kind) != 0 &&
               calls_ == fault_.call && !fault_fired_;
  fault_fired_ = fault_fired_ || fires;
  return fires;
}

bool SimDisk::Ignored(const Flush& flush) {
  std::string flush_class = FlushClassOf(flush);
  bool ignored = ignore_ && ignore_(flush_class);
  flush_classes_.insert(std::move(flush_class));
  return ignored;
}

// --- Names ---------------------------------------------------------------------------------------

SimDisk::InodeId SimDisk::NewInode(bool is_directory) {
  inodes_[next_inode_].is_directory = is_directory;
  return next_inode_++;
}

int SimDisk::Resolve(const std::string& path, InodeId* inode) const {
  InodeId at = kRoot;
  for (const std::string& part : Components(path)) {
    const Inode& directory = inodes_.at(at);
    if (!directory.is_directory) return ENOTDIR;
    auto entry = directory.entries.find(part);
    if (entry == directory.entries.end()) return ENOENT;
    at = entry->second;
  }
  *inode = at;
  return 0;
}

int SimDisk::ResolveParent(const std::string& path, InodeId* parent, std::string* name) const {
  std::vector<std::string> parts = Components(path);
  if (parts.empty()) return EBUSY;  // the root
  *name = parts.back();
  std::string parent_path;
  for (size_t i = 0; i + 1 < parts.size(); ++i) parent_path += "/" + parts[i];
  if (int error_number = Resolve(parent_path, parent)) return error_number;
  return inodes_.at(*parent).is_directory ? 0 : ENOTDIR;
}

bool SimDisk::PendingNames::Touches(InodeId directory) const {
  return std::any_of(changes.begin(), changes.end(),
                     [=](const NameChange& c) { return c.directory == directory; });
}

void SimDisk::ChangeNames(std::vector<NameChange> changes) {
  for (const NameChange& change : changes) {
    auto& entries = inodes_[change.directory].entries;
    if (auto old = entries.find(change.name); old != entries.end()) {
      --inodes_[old->second].links;
      entries.erase(old);
    }
    if (change.inode == 0) continue;
    entries[change.name] = change.inode;
    ++inodes_[change.inode].links;
  }
  pending_names_.push_back({++sequence_, std::move(changes)});
}

int SimDisk::Open(const std::string& path, OpenMode mode, InodeId* inode) {
  std::lock_guard lock(mutex_);
  const bool creates = mode == OpenMode::kCreate || mode == OpenMode::kCreateExclusive;
  if (int error_number = Step(creates ? kNamespaceCall : kReadCall)) return error_number;
  int error_number = Resolve(path, inode);
  if (error_number == 0) {
    if (mode == OpenMode::kCreateExclusive) return EEXIST;
    return inodes_[*inode].is_directory ? EISDIR : 0;
  }
  if (error_number != ENOENT || !creates) return error_number;
  InodeId parent;
  std::string name;
  if ((error_number = ResolveParent(path, &parent, &name)) != 0) return error_number;
  *inode = NewInode(false);
  ChangeNames({{parent, name, *inode}});
  return 0;
}

int SimDisk::Rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  if (int error_number = Step(kNamespaceCall)) return error_number;
  InodeId inode, from_parent, to_parent, target = 0;
  std::string from_name, to_name;
  if (int error_number = Resolve(from, &inode)) return error_number;
  if (int error_number = ResolveParent(from, &from_parent, &from_name)) return error_number;
  if (int error_number = ResolveParent(to, &to_parent, &to_name)) return error_number;
  if (Resolve(to, &target) == 0) {
    if (target == inode) return 0;
    const Inode& old = inodes_[target];
    if (old.is_directory != inodes_[inode].is_directory) return old.is_directory ? EISDIR : ENOTDIR;
    if (!old.entries.empty()) return ENOTEMPTY;
  }
  // Both names change at once, now and at a crash.
  ChangeNames({{from_parent, from_name, 0}, {to_parent, to_name, inode}});
  return 0;
}

int SimDisk::Unlink(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (int error_number = Step(kNamespaceCall)) return error_number;
  InodeId inode, parent;
  std::string name;
  if (int error_number = Resolve(path, &inode)) return error_number;
  if (inodes_[inode].is_directory) return EISDIR;
  if (int error_number = ResolveParent(path, &parent, &name)) return error_number;
  ChangeNames({{parent, name, 0}});
  return 0;
}

int SimDisk::CreateDirectory(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (int error_number = Step(kNamespaceCall)) return error_number;
  InodeId inode, parent;
  std::string name;
  if (Resolve(path, &inode) == 0) return inodes_[inode].is_directory ? 0 : ENOTDIR;
  if (int error_number = ResolveParent(path, &parent, &name)) return error_number;
  ChangeNames({{parent, name, NewInode(true)}});
  return 0;
}

int SimDisk::RemoveDirectory(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (int error_number = Step(kNamespaceCall)) return error_number;
  InodeId inode, parent;
  std::string name;
  if (int error_number = Resolve(path, &inode)) return error_number;
  if (!inodes_[inode].is_directory) return ENOTDIR;
  if (!inodes_[inode].entries.empty()) return ENOTEMPTY;
  if (int error_number = ResolveParent(path, &parent, &name)) return error_number;
  ChangeNames({{parent, name, 0}});
  return 0;
}

int SimDisk::SyncDirectory(const Flush& flush) {
  std::lock_guard lock(mutex_);
  const int step_error = Step(kDirectoryFlushCall);
  InodeId directory;
  if (int error_number = Resolve(flush.path, &directory)) return error_number;
  if (!inodes_[directory].is_directory) return ENOTDIR;
  const bool ignored = Ignored(flush);
  if (step_error != 0 || ignored) return step_error;
  std::vector<PendingNames> left;
  for (PendingNames& names : pending_names_) {
    if (!names.Touches(directory)) {
      left.push_back(std::move(names));
      continue;
    }
    for (const NameChange& change : names.changes) {
      auto& entries = inodes_[change.directory].durable_entries;
      entries.erase(change.name);
      if (change.inode != 0) entries[change.name] = change.inode;
    }
  }
  pending_names_ = std::move(left);
  return 0;
}

int SimDisk::List(const std::string& path, std::vector<DirectoryEntry>* entries) {
  std::lock_guard lock(mutex_);
  if (int error_number = Step(kReadCall)) return error_number;
  InodeId inode;
  if (int error_number = Resolve(path, &inode)) return error_number;
  if (!inodes_[inode].is_directory) return ENOTDIR;
  for (const auto& [name, id] : inodes_[inode].entries) {
    entries->push_back({name, inodes_[id].is_directory});
  }
  return 0;
}

int SimDisk::Stat(const std::string& path, FileInfo* info) {
  std::lock_guard lock(mutex_);
  if (int error_number = Step(kReadCall)) return error_number;
  InodeId inode;
  if (int error_number = Resolve(path, &inode)) return error_number;
  const Inode& found = inodes_[inode];
  info->is_directory = found.is_directory;
  info->is_regular = !found.is_directory;
  info->size_bytes = found.current.size();
  info->device = 1;
  info->inode = inode;
  info->mode = found.is_directory ? 0700 : 0600;
  return 0;
}

int SimDisk::Space(DiskSpace* space) {
  std::lock_guard lock(mutex_);
  if (int error_number = Step(kReadCall)) return error_number;
  space->total_bytes = capacity_bytes_;
  space->available_bytes = capacity_bytes_ - std::min(capacity_bytes_, UsedBytes());
  return 0;
}

int SimDisk::Lock(const std::string& path, bool shared, InodeId* inode) {
  if (int error_number = Open(path, OpenMode::kCreate, inode)) return error_number;
  std::lock_guard lock(mutex_);
  LockState& state = locks_[*inode];
  if (state.exclusive || (!shared && state.shared > 0)) return EAGAIN;
  if (shared) {
    ++state.shared;
  } else {
    state.exclusive = true;
  }
  return 0;
}

void SimDisk::Unlock(InodeId inode, bool shared, uint64_t life) {
  std::lock_guard lock(mutex_);
  if (life != life_) return;  // the process that held it is dead
  if (shared) {
    --locks_[inode].shared;
  } else {
    locks_[inode].exclusive = false;
  }
}

// --- Bytes ---------------------------------------------------------------------------------------

uint64_t SimDisk::UsedBytes() const {
  uint64_t used = 0;
  for (const auto& [id, inode] : inodes_) {
    if (inode.links > 0) used += inode.current.size();
  }
  return used;
}

SimDisk::Outcome SimDisk::Read(InodeId inode, uint64_t offset, std::span<uint8_t> out) {
  std::lock_guard lock(mutex_);
  if (int error_number = Step(kReadCall)) return {error_number, 0};
  const std::string& image = inodes_[inode].current;
  if (offset >= image.size()) return {};
  uint64_t size = std::min<uint64_t>(out.size(), image.size() - offset);
  std::copy_n(image.data() + offset, size, reinterpret_cast<char*>(out.data()));
  return {0, size};
}

// The unflushed write holds whole sectors as the page cache sees them, up to the end of the file.
SimDisk::Outcome SimDisk::WriteLocked(InodeId inode, uint64_t offset, Bytes bytes) {
  Inode& file = inodes_[inode];
  Outcome outcome = {0, bytes.size()};
  const uint64_t old_size = file.current.size();
  if (offset + bytes.size() > old_size) {
    const uint64_t used = UsedBytes();
    const uint64_t room = old_size + capacity_bytes_ - std::min(used, capacity_bytes_);
    if (offset + bytes.size() > room) {
      outcome = {ENOSPC, room > offset ? room - offset : 0};
    }
  }
  if (outcome.size_bytes == 0) return outcome;
  Overwrite(&file.current, offset, AsView(bytes.first(outcome.size_bytes)));
  const uint64_t begin = AlignDown(offset);
  const uint64_t end =
      std::min<uint64_t>(AlignUp(offset + outcome.size_bytes), file.current.size());
  file.pending.push_back({++sequence_, false, begin, file.current.substr(begin, end - begin)});
  return outcome;
}

SimDisk::Outcome SimDisk::Write(InodeId inode, uint64_t offset, Bytes bytes) {
  std::lock_guard lock(mutex_);
  if (crashed_) return {EIO, 0};
  const int step_error = Step(kWriteCall);
  uint64_t size = bytes.size();
  // A failed call, and the one that the crash cuts off, may have written any part of its bytes.
  if (step_error != 0) size = random_.Below(size + 1);
  if (ShortWriteFires(kWriteCall)) size /= 2;
  Outcome outcome = WriteLocked(inode, offset, bytes.first(size));
  if (step_error != 0) outcome.error_number = step_error;
  return outcome;
}

SimDisk::Outcome SimDisk::WriteDurable(InodeId inode, uint64_t offset, Bytes bytes,
                                       const Flush& flush) {
  Outcome outcome = Write(inode, offset, bytes);
  std::lock_guard lock(mutex_);
  const bool ignored = Ignored(flush);
  if (outcome.error_number != 0 && !crashed_) LoseRange(&inodes_[inode], offset, bytes.size());
  if (outcome.error_number != 0 || ignored || crashed_) return outcome;
  FlushRange(&inodes_[inode], offset, outcome.size_bytes);
  return outcome;
}

SimDisk::Outcome SimDisk::SubmitQueued(InodeId inode, uint64_t offset, Bytes bytes) {
  return Write(inode, offset, bytes);
}

int SimDisk::FinishQueued(InodeId inode, uint64_t offset, uint64_t size_bytes, const Flush& flush) {
  std::lock_guard lock(mutex_);
  const int step_error = Step(kFlushCall);
  const bool ignored = Ignored(flush);
  if (step_error != 0 && !crashed_) LoseRange(&inodes_[inode], offset, size_bytes);
  if (step_error != 0 || ignored) return step_error;
  FlushRange(&inodes_[inode], offset, size_bytes);
  return 0;
}

// A failed flush marks its pages clean: no later flush writes them.
void SimDisk::LoseRange(Inode* file, uint64_t offset, uint64_t size_bytes) {
  for (PendingWrite& write : file->pending) {
    const bool overlaps = write.offset < offset + size_bytes && write.end() > offset;
    if (overlaps || write.is_truncate) write.lost_by_failed_flush = true;
  }
}

void SimDisk::DropCache(InodeId inode) {
  std::lock_guard lock(mutex_);
  Inode& file = inodes_[inode];
  std::erase_if(file.pending, [](const PendingWrite& write) { return write.lost_by_failed_flush; });
  file.current = file.durable;
  for (const PendingWrite& write : file.pending) ApplyPending(write, &file.current);
}

void SimDisk::ApplyPending(const PendingWrite& write, std::string* image) {
  if (write.is_truncate) {
    image->resize(write.offset, '\0');
  } else {
    Overwrite(image, write.offset, write.bytes);
  }
}

// Durable for the sectors of one range only; the other unflushed writes stay what they are.
void SimDisk::FlushRange(Inode* file, uint64_t offset, uint64_t size_bytes) {
  if (size_bytes == 0) return;
  const uint64_t begin = AlignDown(offset);
  const uint64_t end = std::min<uint64_t>(AlignUp(offset + size_bytes), file->current.size());
  std::vector<PendingWrite> left;
  for (PendingWrite& write : file->pending) {
    if (write.is_truncate || write.end() <= begin || write.offset >= end) {
      left.push_back(std::move(write));
      continue;
    }
    if (write.offset < begin) {
      PendingWrite head = write;
      head.bytes.resize(begin - write.offset);
      left.push_back(std::move(head));
    }
    if (write.end() > end) {
      PendingWrite tail = write;
      tail.bytes = write.bytes.substr(end - write.offset);
      tail.offset = end;
      left.push_back(std::move(tail));
    }
  }
  file->pending = std::move(left);
  Overwrite(&file->durable, begin, std::string_view(file->current).substr(begin, end - begin));
}

int SimDisk::Sync(InodeId inode, const Flush& flush) {
  std::lock_guard lock(mutex_);
  const int step_error = Step(kFlushCall);
  const bool ignored = Ignored(flush);
  Inode& file = inodes_[inode];
  if (crashed_) return EIO;
  if (step_error != 0) {
    for (PendingWrite& write : file.pending) write.lost_by_failed_flush = true;
    return step_error;
  }
  if (ignored) return 0;
  std::vector<PendingWrite> left;
  for (PendingWrite& write : file.pending) {
    if (write.lost_by_failed_flush) {
      left.push_back(std::move(write));
      continue;
    }
    ApplyPending(write, &file.durable);
    // What was lost before cannot come back over what is durable now.
    std::erase_if(left, [&write](const PendingWrite& lost) {
      return write.is_truncate || lost.is_truncate ||
             (lost.offset < write.end() && lost.end() > write.offset);
    });
  }
  file.pending = std::move(left);
  return 0;
}

int SimDisk::Truncate(InodeId inode, uint64_t size_bytes) {
  std::lock_guard lock(mutex_);
  if (int error_number = Step(kWriteCall)) return error_number;
  Inode& file = inodes_[inode];
  if (size_bytes > file.current.size() &&
      UsedBytes() + size_bytes - file.current.size() > capacity_bytes_) {
    return ENOSPC;
  }
  file.current.resize(size_bytes, '\0');
  PendingWrite truncate;
  truncate.sequence = ++sequence_;
  truncate.is_truncate = true;
  truncate.offset = size_bytes;
  file.pending.push_back(std::move(truncate));
  return 0;
}

int SimDisk::Size(InodeId inode, uint64_t* size_bytes) {
  std::lock_guard lock(mutex_);
  if (int error_number = Step(kReadCall)) return error_number;
  *size_bytes = inodes_[inode].current.size();
  return 0;
}

// --- The crash -----------------------------------------------------------------------------------

// How much of what was not flushed survives. Every crash picks one way.
struct SimDisk::Survival {
  enum class Profile { kNothing, kEverything, kPrefix, kRandom };
  Profile profile = Profile::kRandom;
  uint64_t cut = 0;            // kPrefix: the sequence of the first lost change, which may be torn
  uint64_t percent = 50;       // kRandom: of the changes that survive
  uint64_t torn_percent = 25;  // of the writes that survive
  Random* random = nullptr;

  static Survival Pick(Random* random, uint64_t sequence) {
    Survival survival;
    survival.random = random;
    const uint64_t dice = random->Below(100);
    if (dice < 15) {
      survival.profile = Profile::kNothing;
    } else if (dice < 25) {
      survival.profile = Profile::kEverything;
    } else if (dice < 45) {
      survival.profile = Profile::kPrefix;
      const uint64_t window = std::min<uint64_t>(sequence + 1, 200);
      survival.cut = sequence + 1 - random->Below(window);
    } else {
      const uint64_t kPercents[] = {5, 50, 50, 95};
      survival.percent = kPercents[random->Below(4)];
    }
    return survival;
  }
  bool Survives(uint64_t at) const {
    switch (profile) {
      case Profile::kNothing:
        return false;
      case Profile::kEverything:
        return true;
      case Profile::kPrefix:
        return at <= cut;
      case Profile::kRandom:
        return random->Percent(percent);
    }
    return false;
  }
  bool Torn(uint64_t at) const {
    if (profile == Profile::kEverything) return false;
    if (profile == Profile::kPrefix) return at == cut;
    return random->Percent(torn_percent);
  }
};

// `size_bytes_max` bounds what can be there when an earlier truncate was lost.
void SimDisk::SurviveWrite(Survival* survival, const PendingWrite& write, uint64_t size_bytes_max,
                           std::string* image) {
  const uint64_t end = std::min(write.end(), size_bytes_max);
  if (end <= write.offset) return;
  if (!survival->Survives(write.sequence)) {
    const bool size_survives =
        end > image->size() && random_.OneIn(4) && survival->profile != Survival::Profile::kNothing;
    if (size_survives) image->resize(end, '\0');
    return;
  }
  const bool torn = survival->Torn(write.sequence);
  const bool as_prefix = random_.OneIn(2);
  const uint64_t sectors = (end - write.offset + kSectorSizeBytes - 1) / kSectorSizeBytes;
  const uint64_t prefix = torn ? random_.Below(sectors + 1) : sectors;
  for (uint64_t i = 0; i < sectors; ++i) {
    const bool lost = torn && (as_prefix ? i >= prefix : random_.OneIn(2));
    if (lost) continue;
    const uint64_t begin = i * kSectorSizeBytes;
    const uint64_t size = std::min(kSectorSizeBytes, end - write.offset - begin);
    Overwrite(image, write.offset + begin, std::string_view(write.bytes).substr(begin, size));
  }
}

void SimDisk::SurviveFile(Survival* survival, Inode* file) {
  uint64_t size_bytes_max = UINT64_MAX;
  for (const PendingWrite& write : file->pending) {
    if (!write.is_truncate) {
      SurviveWrite(survival, write, size_bytes_max, &file->durable);
    } else if (survival->Survives(write.sequence)) {
      file->durable.resize(std::min(write.offset, size_bytes_max), '\0');
    } else if (write.offset < file->durable.size()) {
      // Blocks allocated after a shrinking truncate cannot be there without it.
      size_bytes_max = std::min(size_bytes_max, write.offset);
    }
  }
  file->pending.clear();
  file->current = file->durable;
}

void SimDisk::SurviveNames(Survival* survival) {
  for (const PendingNames& names : pending_names_) {
    if (!survival->Survives(names.sequence)) continue;
    for (const NameChange& change : names.changes) {
      auto& entries = inodes_[change.directory].durable_entries;
      entries.erase(change.name);
      if (change.inode != 0) entries[change.name] = change.inode;
    }
  }
  pending_names_.clear();
}

void SimDisk::DropUnreachable() {
  for (auto& [id, inode] : inodes_) {
    inode.entries = inode.durable_entries;
    inode.links = 0;
  }
  std::vector<InodeId> reached = {kRoot};
  inodes_[kRoot].links = 1;
  for (size_t i = 0; i < reached.size(); ++i) {
    for (const auto& [name, id] : inodes_[reached[i]].entries) {
      if (inodes_[id].links++ == 0) reached.push_back(id);
    }
  }
  std::erase_if(inodes_, [](const auto& entry) { return entry.second.links == 0; });
}

void SimDisk::Restart() {
  std::lock_guard lock(mutex_);
  Survival survival = Survival::Pick(&random_, sequence_);
  for (auto& [id, inode] : inodes_) {
    if (!inode.is_directory) SurviveFile(&survival, &inode);
  }
  SurviveNames(&survival);
  DropUnreachable();
  StartLife();
}

void SimDisk::RestartProcess() {
  std::lock_guard lock(mutex_);
  StartLife();
}

void SimDisk::StartLife() {
  locks_.clear();
  crashed_ = false;
  fault_ = {};
  calls_ = 0;
  fault_fired_ = false;
  ++life_;
}

// --- External files ------------------------------------------------------------------------------

void SimDisk::MarkExternal(InodeId inode) {
  std::lock_guard lock(mutex_);
  inodes_[inode].is_external = true;
}

bool SimDisk::IsExternal(const std::string& path) const {
  std::lock_guard lock(mutex_);
  InodeId inode;
  return Resolve(path, &inode) == 0 && inodes_.at(inode).is_external;
}

std::vector<SimDisk::Entry> SimDisk::Walk() const {
  std::lock_guard lock(mutex_);
  std::vector<Entry> found = {{"", true, false, kRoot}};
  for (size_t i = 0; i < found.size(); ++i) {
    const std::string prefix = found[i].path.empty() ? "" : found[i].path + "/";
    for (const auto& [name, id] : inodes_.at(found[i].inode).entries) {
      const Inode& inode = inodes_.at(id);
      found.push_back({prefix + name, inode.is_directory, inode.is_external, id});
    }
  }
  return found;
}

std::string SimDisk::Image(InodeId inode) const {
  std::lock_guard lock(mutex_);
  auto found = inodes_.find(inode);
  return found == inodes_.end() ? "" : found->second.current;
}

}  // namespace engram::testing
