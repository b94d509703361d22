// A data folder whose server is on its way out is free in a moment: who opens it then waits for that.
#pragma once

#include <chrono>
#include <string>
#include <thread>

#include "base/env.hpp"
#include "base/fs.hpp"
#include "base/result.hpp"

namespace millrace::app {

// What `open` answers, tried again for up to ten seconds while the folder is held by a process that does not serve:
// one that stops, or begins (then the answer is that it is in use).
template <class Open>
auto once_free(const std::string& data_dir, Env& env, Open open) -> decltype(open()) {
  constexpr int looks_max = 100, serving_max = 5;  // its address goes a moment after it answers no more
  for (int look = 0, serving = 0;; ++look) {
    auto opened = open();
    if (opened || opened.error().reason != "meta.folder_locked" || look == looks_max) return opened;
    serving = exists(env.fs, join_path(data_dir, "address")) ? serving + 1 : 0;
    if (serving == serving_max) return opened;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

}  // namespace millrace::app
