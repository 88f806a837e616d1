// The server as a whole: makes the parts, serves until it is told to stop, takes them down in
// order.
#ifndef ENGRAM_SERVER_SERVER_H_
#define ENGRAM_SERVER_SERVER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "server/config/config.h"

namespace engram::server {

struct ServerOptions {
  ConfigSet::Inputs inputs;  // read again on SIGHUP
  std::string plugin_path;   // of storage.engine, resolved
  std::string version;
  // Whether a stop was asked for before RunServer() took the signals. May be empty.
  std::function<bool()> stop_is_asked;
  // Told once, when requests are served: "http://address:port" and the port. May be empty.
  std::function<void(const std::string& url, uint16_t port)> started;
};

// Runs `engram start` in the foreground until SIGTERM, SIGINT or POST /shutdown. An error says why
// it did not start, or what the shutdown could not do in order.
Status RunServer(const ServerOptions& options);

}  // namespace engram::server

#endif  // ENGRAM_SERVER_SERVER_H_
