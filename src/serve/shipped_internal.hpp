// The record of a piece, for who reads segments.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "serve/log_format_internal.hpp"
#include "serve/shipped.hpp"

namespace millrace::serve::log_format {

std::string shipped_payload(const ShippedFrom& from, std::string_view items);
// data_loss `serve.log_corrupt`.
Result<ShippedFrom> read_shipped_head(Reader& in);
// Each item behind the head; data_loss `serve.log_corrupt` for one that ends early.
Result<void> walk_items(Reader& in,
                        const std::function<Result<void>(std::uint32_t type, std::string_view payload)>& on_item);
// Whether the payload of a schema or of a prediction can be read. prediction_log.cpp
Result<void> check_record(std::uint32_t type, std::string_view payload);

}  // namespace millrace::serve::log_format
