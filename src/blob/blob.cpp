#include "blob/blob.hpp"

namespace millrace::blob {

Result<BlobInfo> Store::put(std::string_view content) {
  TRY(auto writer, create());
  TRY_VOID(writer->append(content));
  return writer->commit();
}

Result<std::vector<BlobInfo>> Store::list() {
  std::vector<BlobInfo> found;
  TRY_VOID(each([&](const BlobInfo& info) -> Result<void> {
    found.push_back(info);
    return ok();
  }));
  return found;
}

}  // namespace millrace::blob
