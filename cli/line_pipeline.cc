#include "cli/line_pipeline.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace engram::cli {
namespace {

constexpr size_t kReadSizeBytes = 256u << 10;
constexpr size_t kLineSizeBytesMax = 256u << 20;

// False when the stop signal came first.
Result<bool> WaitForInput(int input_fd, int stop_fd) {
  std::array<pollfd, 2> fds = {pollfd{stop_fd, POLLIN, 0}, pollfd{input_fd, POLLIN, 0}};
  while (poll(fds.data(), fds.size(), -1) < 0) {
    if (errno != EINTR) return Status::FromErrno(errno, "wait for input");
  }
  return fds[0].revents == 0;
}

}  // namespace

StopSignal::StopSignal(int other_fd)
    : event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {
  for (const int fd : {event_fd_, other_fd}) {
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event);
  }
}

StopSignal::~StopSignal() {
  close(epoll_fd_);
  close(event_fd_);
}

void StopSignal::Raise() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = write(event_fd_, &one, sizeof one);
}

Status ReadLines(int input_fd, int stop_fd,
                 const std::function<bool(uint64_t number, std::string_view line)>& on_line) {
  std::string pending;  // a line whose end has not come yet
  std::string chunk(kReadSizeBytes, '\0');
  uint64_t number = 0;
  while (true) {
    ENGRAM_ASSIGN_OR_RETURN(const bool ready, WaitForInput(input_fd, stop_fd));
    if (!ready) return Status::Ok();
    const ssize_t size = read(input_fd, chunk.data(), chunk.size());
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (size < 0) return Status::FromErrno(errno, "read the input");
    if (size == 0) break;
    std::string_view rest(chunk.data(), static_cast<size_t>(size));
    for (size_t end; (end = rest.find('\n')) != std::string_view::npos;) {
      pending.append(rest.substr(0, end));
      if (!on_line(++number, pending)) return Status::Ok();
      pending.clear();
      rest.remove_prefix(end + 1);
    }
    pending.append(rest);
    if (pending.size() > kLineSizeBytesMax) {
      return Status::InvalidArgument(
          "line " + std::to_string(number + 1) + " has more than 256 MiB",
          "write one JSON object a line, each ended by a line feed");
    }
  }
  if (!pending.empty()) on_line(number + 1, pending);
  return Status::Ok();
}

}  // namespace engram::cli
