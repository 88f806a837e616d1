#include "server/http/worker_pool.h"

#include <pthread.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace engram::server {

WorkerPool::WorkerPool(uint32_t threads_max, uint32_t queue_max)
    : threads_max_(std::max(threads_max, 1u)), queue_max_(queue_max) {}

WorkerPool::~WorkerPool() { Stop(); }

bool WorkerPool::Submit(std::function<void()> job) {
  MutexLock lock(mutex_);
  if (stopped_ || queue_.size() >= queue_max_) return false;
  if (idle_ <= queue_.size() && threads_.size() < threads_max_) {
    try {
      threads_.emplace_back([this] { Run(); });
    } catch (const std::system_error&) {  // no more threads: those that are there do it
      if (threads_.empty()) return false;
    }
  }
  queue_.push_back(std::move(job));
  changed_.NotifyOne();
  return true;
}

void WorkerPool::Run() {
  pthread_setname_np(pthread_self(), "engram-worker");
  MutexLock lock(mutex_);
  while (true) {
    ++idle_;
    while (queue_.empty() && !stopped_) changed_.Wait(mutex_);
    --idle_;
    if (stopped_) return;
    std::function<void()> job = std::move(queue_.front());
    queue_.pop_front();
    mutex_.unlock();
    job();
    job = nullptr;  // what it holds goes outside the lock as well
    mutex_.lock();
  }
}

void WorkerPool::Stop() {
  std::vector<std::thread> threads;
  std::deque<std::function<void()>> dropped;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    threads.swap(threads_);
    dropped.swap(queue_);
    changed_.NotifyAll();
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace engram::server
