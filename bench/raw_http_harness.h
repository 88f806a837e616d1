// What a request costs with a server that does nothing: one connection, one thread that never
// sleeps, a fixed answer, for a body one pwrite + fdatasync before it. What the machine allows the
// rows of one connection in server_bench.py. Shares no code with the product.
#ifndef ENGRAM_BENCH_RAW_HTTP_HARNESS_H_
#define ENGRAM_BENCH_RAW_HTTP_HARNESS_H_

#include <cstdint>
#include <string>
#include <thread>

namespace engram::bench {

class RawHttpServer {
 public:
  // Listens on a free port of 127.0.0.1. `path` gets the writes: a new file, pre-written.
  explicit RawHttpServer(const std::string& path);
  // Once the client has closed its connection.
  ~RawHttpServer();
  RawHttpServer(const RawHttpServer&) = delete;
  RawHttpServer& operator=(const RawHttpServer&) = delete;

  uint16_t port() const { return port_; }

 private:
  void Serve() const;

  const std::string path_;
  int listener_ = -1;
  int file_ = -1;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace engram::bench

#endif  // ENGRAM_BENCH_RAW_HTTP_HARNESS_H_
