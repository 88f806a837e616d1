/* A library that loads and is no storage engine. */
__attribute__((visibility("default"))) int engram_storage_engine_v9(void);
int engram_storage_engine_v9(void) { return 9; }
