// What a dying server says: which signal it was.
#pragma once

#include "serve/last_words.hpp"

namespace millrace::app {

// Signals by which a program ends that did something wrong itself: SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE.
bool is_crash(int signal);

// From now on such a signal is noted there before it ends the process; nullptr: nowhere.
void tell_last_words(serve::LastWords* words);

// A parent that starts the server again tells it here what the one before died of.
inline constexpr const char* died_of_variable = "MILLRACE_DIED_OF";
int died_of();  // 0: of nothing, or of no such signal

}  // namespace millrace::app
