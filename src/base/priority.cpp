#include "base/priority.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace millrace {

// Linux has a nice value for each thread.
void lower_thread_priority() {
  constexpr int gives_way = 10;
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), gives_way);
}

void idle_thread_priority() {
  const sched_param none{};
  if (::sched_setscheduler(0, SCHED_IDLE, &none) != 0) lowest_thread_priority();
}

void lowest_thread_priority() {
  constexpr int last = 19;
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(this_thread()), last);
}

int this_thread() { return static_cast<int>(::syscall(SYS_gettid)); }

bool raise_thread_priority(int thread) {
  const int own = ::getpriority(PRIO_PROCESS, static_cast<id_t>(::getpid()));
  return ::setpriority(PRIO_PROCESS, static_cast<id_t>(thread), own) == 0;
}

}  // namespace millrace
