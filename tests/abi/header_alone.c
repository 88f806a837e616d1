/* The header compiles alone, as C11 and (included by header_alone.cc) as C++20. */
#include "engram/engram_storage_engine.h"

#ifdef __cplusplus
#define CHECK static_assert
#else
#define CHECK _Static_assert
#endif

CHECK(sizeof(engram_se_error) == 2048, "the error is a fixed block");
CHECK(offsetof(engram_se_vtable, engine_open) == 32, "the first slot");
CHECK(ENGRAM_SE_VTABLE_SIZE_1_1 == sizeof(engram_se_vtable), "1.1 is the newest minor version");
CHECK(sizeof(engram_se_bytes) == 16, "frozen");
CHECK(sizeof(engram_se_pair) == 32, "frozen");

#ifdef __cplusplus
extern "C"
#endif
    int
    engram_header_has_slot(const engram_se_vtable* table);
int engram_header_has_slot(const engram_se_vtable* table) {
  return ENGRAM_SE_HAS_SLOT(table, search) ? 1 : 0;
}
