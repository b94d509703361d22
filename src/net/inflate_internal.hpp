// Compressed bodies, for the routes that take them. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace millrace::net {

bool can_inflate(std::string_view coding);  // "gzip" (or "x-gzip") and "deflate" (zlib's format), in any case

// What `body` says; never more than `bytes_max` of it is held. `take` is asked for each further piece of memory, in
// bytes, before it is filled. invalid_argument `net.bad_compression` (damaged, cut off, or more after the end),
// out_of_range `net.body_too_large`, unavailable `net.overloaded` where `take` says no.
Result<std::string> inflate_body(std::string_view body, std::string_view coding, std::uint64_t bytes_max,
                                 const std::function<bool(std::uint64_t)>& take);

}  // namespace millrace::net
