#include "base/freed_memory.h"

#include <malloc.h>

namespace engram {

void KeepFreedMemory() {
#ifdef __GLIBC__
  // Below the second of them an allocation comes from the heap, and goes back to it.
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
#endif
}

}  // namespace engram
