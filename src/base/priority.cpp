#include "base/priority.hpp"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace millrace {

// Linux has a nice value for each thread.
void lower_thread_priority() {
  constexpr int gives_way = 10;
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), gives_way);
}

}  // namespace millrace
