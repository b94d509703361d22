#include "base/build_id.hpp"

#include <elf.h>
#include <link.h>

#include <cstring>
#include <string_view>

namespace millrace {

namespace {

// The notes of one segment: name size, description size, type, then both, padded to 4 bytes.
std::string build_note(const char* at, const char* end) {
  constexpr std::string_view name("GNU\0", 4);
  while (static_cast<std::size_t>(end - at) >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) note;
    std::memcpy(&note, at, sizeof note);
    at += sizeof note;
    const auto padded = [](std::size_t bytes) { return (bytes + 3) / 4 * 4; };
    const std::size_t bytes = padded(note.n_namesz) + padded(note.n_descsz);
    if (bytes > static_cast<std::size_t>(end - at)) return "";
    if (note.n_type == NT_GNU_BUILD_ID && std::string_view(at, note.n_namesz) == name) {
      std::string out;
      const char* from = at + padded(note.n_namesz);
      for (std::size_t i = 0; i < note.n_descsz; ++i) {
        constexpr const char* digits = "0123456789abcdef";
        const auto byte = static_cast<unsigned char>(from[i]);
        out += digits[byte >> 4];
        out += digits[byte & 15];
      }
      return out;
    }
    at += bytes;
  }
  return "";
}

}  // namespace

std::string program_build() {
  std::string out;
  // The first object is the program itself.
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* to) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& header = info->dlpi_phdr[i];
          if (header.p_type != PT_NOTE) continue;
          const auto* at = reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr);
          auto found = build_note(at, at + header.p_memsz);
          if (!found.empty()) *static_cast<std::string*>(to) = std::move(found);
        }
        return 1;
      },
      &out);
  return out;
}

}  // namespace millrace
