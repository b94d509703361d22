#include "serve/folder_source.hpp"

#include <algorithm>
#include <array>
#include <format>

#include "base/fs.hpp"
#include "base/log.hpp"
#include "model/bare.hpp"
#include "model/bare_lightgbm.hpp"
#include "model/bare_onnx.hpp"

namespace millrace::serve {

namespace {

constexpr std::size_t kFilesMax = 100'000;

// What a version is, without reading it: its names and stamps.
Digest content_digest(const FolderVersion& version, const FileStamp& file, const std::optional<FileStamp>& golden) {
  Sha256 hash;
  const auto put = [&](const std::string& path, const FileStamp& stamp) {
    hash.update(
        std::format("{}\n{} {} {}\n", path, stamp.size, stamp.modified.time_since_epoch().count(), stamp.inode));
  };
  put(version.path, file);
  if (golden) put(version.golden, *golden);
  return hash.finish();
}

}  // namespace

// Folders within folders, as deep as names mean something. One that goes while it is read is as good as empty.
// Texts lie in folders for many reasons: what does not begin as a model is none of ours.
bool FolderSource::is_other_text(const std::string& path) const {
  if (!path.ends_with(".txt")) return false;
  std::array<std::byte, 8> head;
  const auto file = env_.fs.open_read(join_path(config_.dir, path));
  const auto got = file ? (*file)->read(0, head) : Result<std::size_t>(0);
  return got && !model::looks_like_lightgbm({reinterpret_cast<const char*>(head.data()), *got});
}

Result<std::vector<FolderFile>> FolderSource::list() const {
  std::vector<FolderFile> out;
  TRY(const auto top, env_.fs.list(config_.dir));
  const auto add = [&](const std::string& path, const FileInfo& info) -> Result<void> {
    if (is_other_text(path)) return {};
    if (out.size() >= kFilesMax) {
      return fail(Code::resource_exhausted, "serve.folder_too_large",
                  std::format("{} holds more than {} files", config_.dir, kFilesMax));
    }
    out.push_back({path, {.size = info.size, .modified = info.modified}});
    return {};
  };
  const auto below = [&](const std::string& path) -> Result<std::vector<FileInfo>> {
    auto found = env_.fs.list(join_path(config_.dir, path));
    if (!found && found.error().code == Code::not_found) return std::vector<FileInfo>();
    return found;
  };
  for (const auto& one : top) {
    if (one.name.starts_with('.')) continue;
    if (!one.is_dir) {
      TRY_VOID(add(one.name, one));
      continue;
    }
    TRY(const auto versions, below(one.name));
    for (const auto& two : versions) {
      if (two.name.starts_with('.')) continue;
      const auto path = join_path(one.name, two.name);
      if (!two.is_dir) {
        TRY_VOID(add(path, two));
        continue;
      }
      TRY(const auto files, below(path));
      for (const auto& three : files) {
        if (!three.is_dir && !three.name.starts_with('.')) TRY_VOID(add(join_path(path, three.name), three));
      }
    }
  }
  return out;
}

Result<FolderSource::Look> FolderSource::look(bool trust) {
  TRY(const auto listing, list());
  std::lock_guard lock(mutex_);
  auto rules = config_.rules;
  rules.trust = trust;
  auto seen = look_at_folder(files_, listing, rules, {env_.clock.steady(), env_.clock.now()});
  files_ = std::move(seen.files);

  std::vector<std::string> paths;
  for (const auto& [path, watched] : files_) paths.push_back(path);
  auto view = read_folder(paths);
  problems_ = std::move(view.problems);

  std::map<std::string, std::pair<Digest, Content>> accepted;
  std::map<std::string, WantedModel> models;
  models_.clear();
  for (const auto& version : view.versions) {
    models_.insert(version.model);
    const auto& file = files_.at(version.path);
    const auto* golden = version.golden.empty() ? nullptr : &files_.at(version.golden);
    const auto before = accepted_.find(version.path);
    std::pair<Digest, Content> content;
    if (file.accepted && (!golden || golden->accepted)) {
      content.second = {version, *file.accepted, golden ? golden->accepted : std::nullopt};
      content.first = content_digest(version, content.second.file, content.second.golden);
    } else if (before != accepted_.end()) {
      content = before->second;
    } else {
      continue;
    }
    auto& model = models[version.model];
    const VersionRef ref{version.number, content.first};
    if (!model.current)
      model.current = ref;
    else if (!model.previous)
      model.previous = ref;
    else if (model.others.size() + 2 < config_.versions_max)
      model.others.push_back(ref);
    accepted.emplace(version.path, std::move(content));
  }
  // What may still be loaded again: what was accepted now or at the look before.
  std::map<Digest, Content> contents;
  for (const auto* some : {&accepted_, &accepted}) {
    for (const auto& [path, content] : *some) contents[content.first] = content.second;
  }
  contents_ = std::move(contents);
  accepted_ = std::move(accepted);

  std::vector<WantedModel> wanted;
  for (auto& [name, model] : models) {
    if (taken_out_.contains(name)) continue;
    model.name = name;
    model.fall_back = true;
    model.pinned = config_.pinned.contains(name);
    if (const auto at = config_.urgency.find(name); at != config_.urgency.end()) model.turns.urgency = at->second;
    model.batching = config_.batching;
    wanted.push_back(std::move(model));
  }
  const auto same = [](const WantedModel& a, const WantedModel& b) {
    return a.name == b.name && a.current == b.current && a.previous == b.previous && a.others == b.others;
  };
  const bool changed = !std::ranges::equal(wanted, wanted_, same);
  wanted_ = std::move(wanted);
  return Look{changed, seen.pending};
}

Result<void> FolderSource::take_out(const std::string& model) {
  std::lock_guard lock(mutex_);
  if (!models_.contains(model))
    return fail(Code::not_found, "serve.no_model", std::format("there is no model '{}' in {}", model, config_.dir));
  taken_out_.insert(model);
  std::erase_if(wanted_, [&](const auto& one) { return one.name == model; });
  return {};
}

Result<void> FolderSource::take_in(const std::string& model) {
  std::lock_guard lock(mutex_);
  taken_out_.erase(model);
  if (!models_.contains(model))
    return fail(Code::not_found, "serve.no_model", std::format("there is no model '{}' in {}", model, config_.dir));
  return {};
}

Result<void> FolderSource::put(const std::string& model,
                               std::span<const std::pair<std::string, std::string_view>> files) {
  std::vector<std::string> paths;
  for (const auto& [path, bytes] : files) paths.push_back(path);
  TRY_VOID(check_model_files(model, paths));
  for (const bool proof : {true, false}) {
    for (const auto& [path, bytes] : files) {
      if (path.ends_with("golden.json") != proof) continue;
      const auto full = join_path(join_path(config_.dir, model), path);
      TRY_VOID(env_.fs.make_dirs(parent_path(full)));
      TRY_VOID(write_file(env_.fs, full, bytes));
    }
  }
  return {};
}

std::vector<FolderProblem> FolderSource::problems() const {
  std::lock_guard lock(mutex_);
  return problems_;
}

std::vector<std::string> FolderSource::models() const {
  std::lock_guard lock(mutex_);
  return {models_.begin(), models_.end()};
}

Result<std::vector<WantedModel>> FolderSource::wanted() {
  std::lock_guard lock(mutex_);
  return wanted_;
}

Result<std::string> FolderSource::read_whole(const std::string& path, const FileStamp& stamp) const {
  const auto full = join_path(config_.dir, path);
  const auto unchanged = [&]() -> Result<void> {
    TRY(const auto info, env_.fs.info(full));
    if (info.size == stamp.size && info.modified == stamp.modified) return {};
    return fail(Code::unavailable, "serve.file_changed",
                std::format("{} is being changed; the next look at the folder sees it", full));
  };
  TRY_VOID(unchanged());
  TRY(auto bytes, read_file(env_.fs, full, config_.file_bytes_max));
  TRY_VOID(unchanged());
  return bytes;
}

Result<std::shared_ptr<const model::LoadedModel>> FolderSource::load(const std::string& name, const VersionRef& ref,
                                                                     const model::RuntimeOptions& options) {
  Content content;
  {
    std::lock_guard lock(mutex_);
    const auto found = contents_.find(ref.artifact);
    if (found == contents_.end()) {
      return fail(Code::unavailable, "serve.file_changed",
                  std::format("the file of {}:{} is another one now; the next look sees it", name, ref.number));
    }
    content = found->second;
  }
  // Trees in memory are a tenth of their file or so; weights are as many bytes as in theirs.
  const std::uint64_t file_to_memory = content.version.format == FolderFormat::onnx ? 1 : 16;
  if (config_.memory_bytes_max > 0 && content.file.size / file_to_memory > config_.memory_bytes_max) {
    return fail(Code::resource_exhausted, "serve.no_room",
                std::format("{}: a model file of {} takes more memory than the {} that all models may take",
                            content.version.path, format_size(static_cast<long long>(content.file.size)),
                            format_size(static_cast<long long>(config_.memory_bytes_max))));
  }
  TRY(const auto bytes, read_whole(content.version.path, content.file));
  std::string golden;
  if (content.golden) {
    TRY(golden, read_whole(content.version.golden, *content.golden));
  }
  const auto made = [&]() -> Result<std::shared_ptr<const model::LoadedModel>> {
    switch (content.version.format) {
      case FolderFormat::artifact:
        return model::LoadedModel::load(bytes, options);
      case FolderFormat::onnx:
        return model::load_bare_onnx({name, bytes, golden}, options);
      case FolderFormat::lightgbm:
        return model::load_bare_lightgbm({name, bytes, golden}, options);
      case FolderFormat::xgboost:
        break;
    }
    return model::load_bare({name, bytes, golden}, options);
  };
  auto model = made();
  if (model) return model;
  auto error = std::move(model).error();
  error.message = content.version.path + ": " + error.message;
  return fail(std::move(error));
}

}  // namespace millrace::serve
