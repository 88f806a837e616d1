#include "server/http/answer_lanes.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "server/http/io_thread.h"

namespace engram::server {
namespace {

// One event for each loop, not for each answer.
void Deliver(std::vector<AnswerLanes::Answer> answers) {
  std::unordered_map<IoThread*, std::vector<std::function<void()>>> by_thread;
  for (auto& answer : answers) by_thread[answer.thread].push_back(std::move(answer.deliver));
  for (auto& [thread, all] : by_thread) {
    boost::asio::post(thread->io(), [all = std::move(all)] {
      for (const auto& deliver : all) deliver();
    });
  }
}

}  // namespace

void AnswerLanes::Submit(const void* lane, Answer answer) {
  {
    MutexLock lock(mutex_);
    const auto [found, is_new] = lanes_.try_emplace(lane);
    found->second.push_back(std::move(answer));
    if (!is_new) return;  // whoever is at work there takes it along
  }
  if (!pool_.Submit([this, lane] { Run(lane); })) Run(lane);
}

void AnswerLanes::Drop() {
  std::unordered_map<const void*, std::vector<Answer>> dropped;
  MutexLock lock(mutex_);
  dropped.swap(lanes_);
}

void AnswerLanes::Run(const void* lane) {
  while (true) {
    std::vector<Answer> answers;
    {
      MutexLock lock(mutex_);
      const auto found = lanes_.find(lane);
      if (found->second.empty()) {
        lanes_.erase(found);
        return;
      }
      answers.swap(found->second);
    }
    for (Answer& answer : answers) {
      answer.finish();
      answer.finish = nullptr;  // what it holds goes before the client hears of it
    }
    Deliver(std::move(answers));
  }
}

}  // namespace engram::server
