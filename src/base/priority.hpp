// Threads that give way to others.
#pragma once

namespace millrace {

// The calling thread gives way to threads of ordinary priority from now on, for good: for work that nobody waits for,
// beside threads that answer. Does nothing where the system refuses.
void lower_thread_priority();

}  // namespace millrace
