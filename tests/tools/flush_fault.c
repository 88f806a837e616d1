/* Preloaded into a server by tests: while the file that ENGRAM_TEST_FLUSH_FAULT names is there,
 * durable writes to log segments fail with EIO. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int IsFaulty(int descriptor) {
  const char* switch_path = getenv("ENGRAM_TEST_FLUSH_FAULT");
  char link[64];
  char path[4096];
  ssize_t size;
  if (switch_path == NULL || access(switch_path, F_OK) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  size = readlink(link, path, sizeof path - 1);
  if (size < 4) return 0;
  path[size] = '\0';
  return strcmp(path + size - 4, ".seg") == 0;
}

ssize_t pwritev2(int descriptor, const struct iovec* parts, int count, off_t offset, int flags) {
  typedef ssize_t (*Real)(int, const struct iovec*, int, off_t, int);
  if (IsFaulty(descriptor)) {
    errno = EIO;
    return -1;
  }
  return ((Real)dlsym(RTLD_NEXT, "pwritev2"))(descriptor, parts, count, offset, flags);
}

int fdatasync(int descriptor) {
  typedef int (*Real)(int);
  if (IsFaulty(descriptor)) {
    errno = EIO;
    return -1;
  }
  return ((Real)dlsym(RTLD_NEXT, "fdatasync"))(descriptor);
}
