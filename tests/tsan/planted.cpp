// Two threads, one number, no lock.
#include <thread>

namespace {
int planted = 0;
}

int main() {
  std::thread other([] { ++planted; });
  ++planted;
  other.join();
  return planted == 2 ? 0 : 1;
}
