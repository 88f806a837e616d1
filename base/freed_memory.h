// What the allocator does with memory that was freed.
#ifndef ENGRAM_BASE_FREED_MEMORY_H_
#define ENGRAM_BASE_FREED_MEMORY_H_

namespace engram {

// For a program's start: of what a burst has freed each arena of the heap keeps up to 64 MiB for
// the next one. By itself glibc gives it back at once, and each burst pays for every page again:
// some 30 us where the host of a virtual machine has taken the page meanwhile. Other allocators
// stay as they are.
void KeepFreedMemory();

}  // namespace engram

#endif  // ENGRAM_BASE_FREED_MEMORY_H_
