// A folder of model files as wanted versions and their bytes (folder.hpp says what names mean and when a file is
// whole).
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/env.hpp"
#include "serve/folder.hpp"
#include "serve/predictor.hpp"

namespace millrace::serve {

// Of each model the highest version takes traffic; those before it answer by number, and take over where nothing
// answers yet and the highest one can't be loaded. Thread-safe.
class FolderSource final : public WantedSource, public VersionSource {
 public:
  struct Config {
    std::string dir;
    SettleRules rules;
    std::size_t versions_max = 8;  // of a model, the newest ones
    std::uint64_t file_bytes_max = std::uint64_t{1} << 30;
    std::set<std::string> pinned;
    std::uint64_t memory_bytes_max = 0;                        // a file that can't fit is not even read; 0: no bound
    std::map<std::string, Urgency, std::less<>> urgency = {};  // of models that are not normal
    BatchPolicy batching = {};
  };
  FolderSource(Config config, Env& env) : config_(std::move(config)), env_(env) {}

  struct Look {
    bool changed = false;  // wanted() says something else now
    bool pending = false;  // the next look should come soon
  };
  // Lists the folder. Where it can't be read the error says so, and what was wanted stays. `trust`: somebody says that
  // all files are whole.
  Result<Look> look(bool trust = false);

  // By a client: out of what is wanted until it is taken in again, whatever happens in the folder. not_found
  // `serve.no_model` for a name that the folder does not have.
  Result<void> take_out(const std::string& model);
  Result<void> take_in(const std::string& model);

  // Puts files into the folder of a model, each whole at once, what proves a model before it. check_model_files()'s
  // error, before anything is written; those of write_file().
  Result<void> put(const std::string& model, std::span<const std::pair<std::string, std::string_view>> files);

  std::vector<FolderProblem> problems() const;
  std::vector<std::string> models() const;  // that the folder has, in order

  Result<std::vector<WantedModel>> wanted() override;
  // unavailable `serve.file_changed`: while it was read, or since the look; the next one sees it.
  Result<std::shared_ptr<const model::LoadedModel>> load(const std::string& model, const VersionRef& ref,
                                                         const model::RuntimeOptions& options) override;

 private:
  // A version's content as it was accepted.
  struct Content {
    FolderVersion version;
    FileStamp file;
    std::optional<FileStamp> golden;
  };
  bool is_other_text(const std::string& path) const;
  Result<std::vector<FolderFile>> list() const;
  Result<std::string> read_whole(const std::string& path, const FileStamp& stamp) const;

  const Config config_;
  Env& env_;
  mutable std::mutex mutex_;  // all below
  WatchedFiles files_;
  std::map<std::string, std::pair<Digest, Content>> accepted_;  // by path
  std::map<Digest, Content> contents_;                          // what load() may be asked for
  std::vector<FolderProblem> problems_;
  std::set<std::string> taken_out_, models_;
  std::vector<WantedModel> wanted_;
};

}  // namespace millrace::serve
