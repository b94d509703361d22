// Which build of the program this is.
#pragma once

#include <string>

namespace millrace {

// What the linker wrote into the running program: other code, another text. "" where it wrote nothing.
std::string program_build();

}  // namespace millrace
