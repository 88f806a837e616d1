// How many files this process may have open.
#ifndef ENGRAM_BASE_DESCRIPTOR_LIMIT_H_
#define ENGRAM_BASE_DESCRIPTOR_LIMIT_H_

namespace engram {

// As many as a server of many connections or a source of many logs wants, or as the system allows.
// The limit that shells set is for interactive programs. No error.
void RaiseDescriptorLimit();

}  // namespace engram

#endif  // ENGRAM_BASE_DESCRIPTOR_LIMIT_H_
