// A closed-loop HTTP client for the server's benchmarks: C connections, each with one request in
// flight, one thread. Shares no code with the server. Prints one JSON object: rate, latencies,
// statuses.
//
//   http_load --port P --scenario remember|remember_text|get|list|search|recall
//             [--connections 1] [--seconds 5 | --requests N] [--ids 6000] [--seed 1] [--key KEY]
//             [--raw FILE]
//
// `--raw` asks the server of raw_http_harness.h, which it starts, on one connection; FILE gets what
// that writes.
// `--ids` is how many memories "bench-0".."bench-<n-1>" the other scenarios may ask for; remember
// writes ids from `--ids` on (so that a fill is `--scenario remember --ids 0 --requests 6000`).
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bench/raw_http_harness.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  uint16_t port = 7432;
  std::string scenario = "get";
  std::string key;
  std::string raw;
  size_t connections = 1;
  double seconds = 5;
  uint64_t requests = 0;  // 0: by time
  uint64_t ids = 6000;
  uint64_t seed = 1;
};

[[noreturn]] void Die(const std::string& text) {
  std::fprintf(stderr, "http_load: %s\n", text.c_str());
  std::exit(1);
}

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--port")
      options.port = static_cast<uint16_t>(std::stoul(value));
    else if (name == "--scenario")
      options.scenario = value;
    else if (name == "--key")
      options.key = value;
    else if (name == "--raw")
      options.raw = value;
    else if (name == "--connections")
      options.connections = std::stoul(value);
    else if (name == "--seconds")
      options.seconds = std::stod(value);
    else if (name == "--requests")
      options.requests = std::stoull(value);
    else if (name == "--ids")
      options.ids = std::stoull(value);
    else if (name == "--seed")
      options.seed = std::stoull(value);
    else
      Die("unknown flag " + name);
  }
  if (argc % 2 == 0) Die("every flag takes a value");
  return options;
}

// What the requests are made of; rendered once, so that the client costs little.
class Requests {
 public:
  explicit Requests(const Options& options) : options_(options), random_(options.seed) {
    std::normal_distribution<float> gauss;
    for (std::string& embedding : embeddings_) {
      std::vector<float> values(768);
      double norm = 0;
      for (float& value : values) {
        value = gauss(random_);
        norm += double(value) * value;
      }
      embedding = "[";
      char number[32];
      for (const float value : values) {
        std::snprintf(number, sizeof number, "%.7g,", value / std::sqrt(norm));
        embedding += number;
      }
      embedding.back() = ']';
    }
    next_id_ = options.ids;
  }

  std::string Next() {
    const std::string& scenario = options_.scenario;
    if (scenario == "remember") return Post("/api/v1/memories/remember", Memory(true));
    if (scenario == "remember_text") return Post("/api/v1/memories/remember", Memory(false));
    if (scenario == "get") return Get("/api/v1/memories/bench-" + std::to_string(AnyId()));
    if (scenario == "list") {
      return Get("/api/v1/memories?tier=all&limit=100&offset=" +
                 std::to_string(AnyId() / 100 * 100 % std::max<uint64_t>(options_.ids, 1)));
    }
    if (scenario == "search") {
      return Get("/api/v1/memories/search?limit=10&query=topic+" + std::to_string(AnyId() % 997));
    }
    if (scenario == "recall") {
      return Get("/api/v1/memories/recall?max_results=5&threshold=0.1&embedding=" + AnyEmbedding());
    }
    Die("unknown scenario " + scenario);
  }

 private:
  uint64_t AnyId() { return options_.ids == 0 ? 0 : random_() % options_.ids; }
  const std::string& AnyEmbedding() { return embeddings_[random_() % std::size(embeddings_)]; }

  std::string Memory(bool embedding) {
    const std::string id = std::to_string(next_id_++);
    std::string body = "{\"id\":\"bench-" + id + "\",\"content\":\"Note " + id + " about topic " +
                       std::to_string(random_() % 997) +
                       ": what was seen, by whom, and what came of it afterwards in the field."
                       "\",\"confidence\":0.9";
    if (embedding) body += ",\"embedding\":" + AnyEmbedding();
    return body + "}";
  }
  std::string Head(const std::string& method, const std::string& target) {
    std::string head = method + " " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    if (!options_.key.empty()) head += "Authorization: Bearer " + options_.key + "\r\n";
    return head;
  }
  std::string Get(const std::string& target) { return Head("GET", target) + "\r\n"; }
  std::string Post(const std::string& target, const std::string& body) {
    return Head("POST", target) +
           "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }

  const Options& options_;
  std::mt19937_64 random_;
  std::string embeddings_[64];
  uint64_t next_id_ = 0;
};

struct Connection {
  int fd = -1;
  std::string out;
  std::string in;
  Clock::time_point began;
};

int Connect(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    Die("connect to port " + std::to_string(port) + ": " + std::strerror(errno));
  }
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

// The size of the whole response at the front of `in`, 0 while it is not complete.
size_t ResponseSize(const std::string& in) {
  const size_t head = in.find("\r\n\r\n");
  if (head == std::string::npos) return 0;
  static constexpr char kLength[] = "content-length:";
  const auto found = std::search(in.begin(), in.begin() + static_cast<ptrdiff_t>(head), kLength,
                                 kLength + sizeof kLength - 1,
                                 [](char a, char b) { return std::tolower(a) == b; });
  const size_t at = static_cast<size_t>(found - in.begin());
  if (at == head) Die("a response without Content-Length: " + in.substr(0, 200));
  const size_t size = head + 4 + std::strtoull(in.c_str() + at + sizeof kLength - 1, nullptr, 10);
  return in.size() >= size ? size : 0;
}

class Load {
 public:
  explicit Load(const Options& options) : options_(options), requests_(options) {}
  ~Load() {
    for (const Connection& connection : connections_) close(connection.fd);
    close(epoll_);
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  void Run() {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    connections_.resize(options_.connections);
    begin_ = Clock::now();
    end_ = begin_ + std::chrono::duration_cast<Clock::duration>(
                        std::chrono::duration<double>(options_.seconds));
    for (Connection& connection : connections_) {
      connection.fd = Connect(options_.port);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = &connection;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
      Send(&connection);
    }
    epoll_event events[64];
    while (in_flight_ > 0) {
      const int count = epoll_wait(epoll_, events, 64, 30'000);
      if (count <= 0) Die("no answer for 30 s");
      for (int i = 0; i < count; ++i) Receive(static_cast<Connection*>(events[i].data.ptr));
    }
    seconds_ = std::chrono::duration<double>(Clock::now() - begin_).count();
  }

  void Print() {
    std::sort(latencies_us_.begin(), latencies_us_.end());
    const auto at = [&](double q) {
      if (latencies_us_.empty()) return 0.0;
      return latencies_us_[static_cast<size_t>(q * double(latencies_us_.size() - 1))];
    };
    std::printf(
        "{\"scenario\": \"%s\", \"connections\": %zu, \"requests\": %zu, \"seconds\": %.3f, "
        "\"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
        "\"statuses\": {",
        options_.scenario.c_str(), options_.connections, latencies_us_.size(), seconds_,
        double(latencies_us_.size()) / seconds_, at(0.5), at(0.99), at(1));
    const char* comma = "";
    for (const auto& [status, count] : statuses_) {
      std::printf("%s\"%d\": %llu", comma, status, static_cast<unsigned long long>(count));
      comma = ", ";
    }
    std::printf("}}\n");
  }

 private:
  void Send(Connection* connection) {
    connection->out = requests_.Next();
    connection->began = Clock::now();
    ++started_;
    ++in_flight_;
    size_t sent = 0;
    while (sent < connection->out.size()) {
      const ssize_t n = send(connection->fd, connection->out.data() + sent,
                             connection->out.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) Die(std::string("send: ") + std::strerror(errno));
      sent += static_cast<size_t>(n);
    }
  }

  void Receive(Connection* connection) {
    char buffer[65536];
    const ssize_t n = recv(connection->fd, buffer, sizeof buffer, 0);
    if (n <= 0) Die("the server closed a connection");
    connection->in.append(buffer, static_cast<size_t>(n));
    const size_t size = ResponseSize(connection->in);
    if (size == 0) return;
    const Clock::time_point now = Clock::now();
    latencies_us_.push_back(
        std::chrono::duration<double, std::micro>(now - connection->began).count());
    ++statuses_[std::atoi(connection->in.c_str() + sizeof "HTTP/1.1")];
    connection->in.erase(0, size);
    --in_flight_;
    const bool more = options_.requests != 0 ? started_ < options_.requests : now < end_;
    if (more) Send(connection);
  }

  const Options& options_;
  Requests requests_;
  int epoll_ = -1;
  std::vector<Connection> connections_;
  std::vector<double> latencies_us_;
  std::map<int, uint64_t> statuses_;
  Clock::time_point begin_, end_;
  double seconds_ = 0;
  uint64_t started_ = 0;
  size_t in_flight_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Options options = Parse(argc, argv);
  std::unique_ptr<engram::bench::RawHttpServer> raw;
  if (!options.raw.empty()) {
    if (options.connections != 1) Die("--raw takes one connection");
    raw = std::make_unique<engram::bench::RawHttpServer>(options.raw);
    options.port = raw->port();
  }
  Load load(options);
  load.Run();
  load.Print();
  return 0;
}
