// XGBoost's reader of UBJSON believes every length and every node number in the file: of files with one to three
// changed bytes, one in six ended the process, or kept it busy allocating. This walk believes none.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.hpp"

namespace millrace::model {

// Success when `file` is one well-formed UBJSON value (Draft 12, as XGBoost writes it: typed arrays with counts) and
// nothing else, and each tree in it (an object with `left_children`) is one: its nodes' children and parents agree, and
// it asks for features below `features` only. data_loss `model.bad_ubj` with the offset otherwise.
Result<void> check_ubj(std::string_view file, std::size_t features);

}  // namespace millrace::model
