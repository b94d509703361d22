// How a report of the sanitizers is written: with lines, by addr2line, for the root has no llvm-symbolizer.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allow_addr2line=1:allocator_may_return_null=0"; }
