#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <thread>

#include "server/lifecycle/service_manager.h"
#include "server/lifecycle/signals.h"
#include "server/server.h"
#include "tests/testing/temp_dir.h"

namespace engram::server {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// What systemd is for the server: a datagram socket.
class NotifySocket {
 public:
  explicit NotifySocket(const std::string& name)
      : descriptor_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path, sizeof address.sun_path - 1);
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    EXPECT_EQ(::bind(descriptor_, reinterpret_cast<sockaddr*>(&address), size), 0);
  }
  ~NotifySocket() { ::close(descriptor_); }
  std::string Next() {
    char text[512];
    const ssize_t size = ::recv(descriptor_, text, sizeof text, 0);
    return size < 0 ? "" : std::string(text, static_cast<size_t>(size));
  }

 private:
  const int descriptor_;
};

TEST(ServiceManager, EachChangeIsOneDatagram) {
  testing::TempDir folder;
  for (const std::string& name :
       {folder.path() + "/notify", "@engram-test-" + std::to_string(::getpid())}) {
    NotifySocket socket(name);
    ServiceManager manager({{"NOTIFY_SOCKET", name}});
    manager.Ready("serving");
    EXPECT_THAT(socket.Next(), StartsWith("READY=1\nSTATUS=serving\nMAINPID="));
    manager.Reloading();
    EXPECT_THAT(socket.Next(), StartsWith("RELOADING=1\nMONOTONIC_USEC="));
    manager.Watchdog();
    EXPECT_EQ(socket.Next(), "WATCHDOG=1");
    manager.Stopping();
    EXPECT_EQ(socket.Next(), "STOPPING=1");
    EXPECT_EQ(socket.Next(), "");
  }
}

TEST(ServiceManager, WithoutASocketItIsSilent) {
  ServiceManager none({});
  none.Ready("x");
  ServiceManager gone({{"NOTIFY_SOCKET", "/nonexistent/socket"}, {"WATCHDOG_USEC", "x"}});
  gone.Ready("x");
  EXPECT_FALSE(gone.watchdog_interval_ms().has_value());
}

TEST(ServiceManager, TheWatchdogIsFedTwiceInItsPeriodIfItMeansThisProcess) {
  const std::string self = std::to_string(::getpid());
  const std::map<std::string, std::string> own = {
      {"NOTIFY_SOCKET", "@x-none"}, {"WATCHDOG_USEC", "3000000"}, {"WATCHDOG_PID", self}};
  EXPECT_EQ(ServiceManager(own).watchdog_interval_ms(), 1500u);
  auto other = own;
  other["WATCHDOG_PID"] = "1";
  EXPECT_FALSE(ServiceManager(other).watchdog_interval_ms().has_value());
}

TEST(SignalEvents, SignalsAreEventsAndDoNotEndTheProcess) {
  // raise() aims at this thread: threads that other tests have left do not block the signals.
  auto events = SignalEvents::Block();
  ASSERT_TRUE(events.ok());
  EXPECT_EQ((*events)->Wait(0), SignalEvents::Event::kTimeout);
  ::raise(SIGHUP);
  EXPECT_EQ((*events)->Wait(1000), SignalEvents::Event::kReload);
  ::raise(SIGTERM);
  EXPECT_EQ((*events)->Wait(1000), SignalEvents::Event::kStop);
  ::raise(SIGINT);
  EXPECT_EQ((*events)->Wait(1000), SignalEvents::Event::kStop);
}

TEST(RunServer, AStopThatWasAskedForBeforeItBeganIsNotForgotten) {
  ServerOptions options;
  options.plugin_path = "not loaded";
  options.stop_is_asked = [] { return true; };
  EXPECT_TRUE(RunServer(options).ok());
}

TEST(SignalEvents, AnotherThreadCanAskForTheStop) {
  auto events = SignalEvents::Block();
  ASSERT_TRUE(events.ok());
  std::thread asker([&] { (*events)->RequestStop(); });
  EXPECT_EQ((*events)->Wait(-1), SignalEvents::Event::kStop);
  asker.join();
}

TEST(SignalEventsDeathTest, AfterTheFirstTheNextOneCanBeMadeToKill) {
  EXPECT_EXIT(
      {
        auto events = SignalEvents::Block();
        ::kill(::getpid(), SIGTERM);
        (*events)->Wait(1000);
        (*events)->LetTheNextOneKill();
        ::kill(::getpid(), SIGTERM);
      },
      ::testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace engram::server
