// Puts the I/O of liblmdb on the simulated disk. Linking this file into a test defines open, close,
// write, pwrite, writev, ftruncate, fsync and fdatasync in the executable, where they take
// precedence over libc for the shared liblmdb.so. Descriptors of files below a recorded root are
// recorded in its SimDisk, write by write and flush by flush; real flushes are suppressed. All
// other descriptors pass through.
//
// The file in the host's directory always holds what LMDB wrote, since LMDB maps it; what a crash
// leaves of it is decided by the disk and put into the next SimFileSystem's directory.
#ifndef ENGRAM_TESTS_TESTING_LMDB_RECORDER_H_
#define ENGRAM_TESTS_TESTING_LMDB_RECORDER_H_

#include "tests/testing/sim_file_system.h"

namespace engram::testing {

// Records while it lives. Descriptors opened before it die with their disk's life.
class LmdbRecorder {
 public:
  explicit LmdbRecorder(SimFileSystem& fs);
  ~LmdbRecorder();
  LmdbRecorder(const LmdbRecorder&) = delete;
  LmdbRecorder& operator=(const LmdbRecorder&) = delete;

 private:
  SimFileSystem& fs_;
};

}  // namespace engram::testing

#endif  // ENGRAM_TESTS_TESTING_LMDB_RECORDER_H_
