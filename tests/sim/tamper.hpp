// The records and the queue with a planted fault: what a module writes, changed on the way.
#pragma once

#include <memory>

#include "meta/meta.hpp"
#include "queue/queue.hpp"
#include "sim/planted.hpp"

namespace millrace::simulator {

// Null for a fault that is elsewhere: then the real one is used. The real one outlives it.
std::unique_ptr<meta::Store> tamper_with(meta::Store& store, Plant plant);
std::unique_ptr<queue::Queue> tamper_with(queue::Queue& queue, meta::Store& store, Plant plant);

}  // namespace millrace::simulator
