// Threads that give way to others.
#pragma once

namespace millrace {

// The calling thread gives way to threads of ordinary priority from now on, for good: for work that nobody waits for,
// beside threads that answer. Does nothing where the system refuses.
void lower_thread_priority();

// The calling thread runs when nobody else wants to, for good: others take its core at once, and a core that it is on
// counts as free for them.
void idle_thread_priority();

// As lower_thread_priority(), before everything else that could give way; until somebody raises it again.
void lowest_thread_priority();
int this_thread();  // its number, for the next
// Back to the process's own. False where the system lets nobody take priority back (Linux: without CAP_SYS_NICE and
// without an RLIMIT_NICE).
bool raise_thread_priority(int thread);

}  // namespace millrace
