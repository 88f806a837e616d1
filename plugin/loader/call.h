// One call over the boundary: a fresh error, and what comes back as a Status.
#ifndef ENGRAM_PLUGIN_LOADER_CALL_H_
#define ENGRAM_PLUGIN_LOADER_CALL_H_

#include "plugin/loader/plugin_loader.h"

namespace engram::plugin {

// `call` takes the error and returns engram_se_status.
template <typename Call>
Status Run(Call&& call) {
  engram_se_error error{};
  error.struct_size = sizeof error;
  error.offset_bytes = ENGRAM_SE_UNKNOWN_OFFSET;
  const engram_se_status code = call(&error);
  return code == ENGRAM_SE_OK ? Status::Ok() : ToStatus(code, error);
}

}  // namespace engram::plugin

#endif  // ENGRAM_PLUGIN_LOADER_CALL_H_
