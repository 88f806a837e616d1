#include "header_alone.c"  // the same checks, as C++20
