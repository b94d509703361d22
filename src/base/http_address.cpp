#include <arpa/inet.h>

#include <cstring>
#include <string>

#include "base/http_client.hpp"

namespace millrace {
namespace {

AddressKind kind_of_v4(std::uint32_t ip) {
  const auto within = [ip](std::uint32_t net, int bits) { return ip >> (32 - bits) == net >> (32 - bits); };
  if (within(0x7f000000, 8)) return AddressKind::loopback;     // 127/8
  if (within(0xa9fe0000, 16)) return AddressKind::link_local;  // 169.254/16, where clouds keep their secrets
  if (within(0x0a000000, 8) || within(0xac100000, 12) || within(0xc0a80000, 16) || within(0x64400000, 10)) {
    return AddressKind::private_net;  // 10/8, 172.16/12, 192.168/16, 100.64/10 (shared with the provider)
  }
  // 0/8, 192.0.0/24, documentation (three), benchmarks 198.18/15, multicast and reserved from 224 up
  if (within(0, 8) || within(0xc0000000, 24) || within(0xc0000200, 24) || within(0xc6336400, 24) ||
      within(0xcb007100, 24) || within(0xc6120000, 15) || ip >= 0xe0000000) {
    return AddressKind::other;
  }
  return AddressKind::global;
}

std::uint32_t big_endian(const std::uint8_t* at) {
  return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
}

}  // namespace

AddressKind address_kind(std::string_view ip) {
  const std::string text(ip.substr(0, ip.find('%')));  // fe80::1%eth0
  std::uint8_t b[16];
  if (::inet_pton(AF_INET, text.c_str(), b) == 1) return kind_of_v4(big_endian(b));
  if (::inet_pton(AF_INET6, text.c_str(), b) != 1) return AddressKind::other;

  static constexpr std::uint8_t zeros[15] = {};
  static constexpr std::uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  static constexpr std::uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
  if (std::memcmp(b, zeros, 15) == 0 && b[15] == 1) return AddressKind::loopback;
  if (std::memcmp(b, mapped, 12) == 0 || std::memcmp(b, nat64, 12) == 0) return kind_of_v4(big_endian(b + 12));
  if (b[0] == 0x20 && b[1] == 0x02) return kind_of_v4(big_endian(b + 2));  // 6to4
  if (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) return AddressKind::link_local;
  if ((b[0] & 0xfe) == 0xfc) return AddressKind::private_net;
  return (b[0] & 0xe0) == 0x20 ? AddressKind::global : AddressKind::other;  // 2000::/3
}

}  // namespace millrace
