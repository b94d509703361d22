#include "base/memory.hpp"

#include <malloc.h>

namespace millrace {

void return_free_memory() { ::malloc_trim(0); }

}  // namespace millrace
