// What a process keeps of the machine's memory.
#pragma once

namespace millrace {

// Gives pages that nothing uses any more back to the machine: `free` alone keeps them for later. For after something
// big was let go; takes a millisecond or so, in which other threads may wait for memory. Thread-safe.
void return_free_memory();

}  // namespace millrace
