#include "serve/folder.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <format>
#include <set>
#include <tuple>

namespace millrace::serve {

namespace {

constexpr std::size_t kNameBytesMax = 128;
constexpr std::string_view kGolden = "golden.json";
constexpr std::string_view kManifest = "manifest.json";  // beside a file that models export wrote

struct Ending {
  std::string_view text;
  FolderFormat format;
};
// In the order in which they count where several are there.
constexpr auto kEndings = std::to_array<Ending>({{".ubj", FolderFormat::xgboost},
                                                 {".json", FolderFormat::xgboost},
                                                 {".zip", FolderFormat::artifact},
                                                 {".onnx", FolderFormat::onnx},
                                                 {".txt", FolderFormat::lightgbm}});

bool good_name(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= kNameBytesMax && plain(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return plain(c) || c == '.' || c == '_' || c == '-'; });
}

std::optional<std::int64_t> version_number(std::string_view text) {
  constexpr std::size_t kDigitsMax = 18;
  std::int64_t number = 0;
  if (text.empty() || text.size() > kDigitsMax) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

// The model's file in a folder of its own: which ending, and how much it counts.
std::optional<std::pair<FolderFormat, std::size_t>> model_file(std::string_view file, std::string_view model) {
  const std::array<std::string_view, 3> stems = {"model", "xgboost", model};
  for (std::size_t ending = 0; ending < kEndings.size(); ++ending) {
    for (std::size_t stem = 0; stem < stems.size(); ++stem) {
      const auto& text = kEndings[ending].text;
      if (file.size() == stems[stem].size() + text.size() && file.starts_with(stems[stem]) && file.ends_with(text))
        return std::pair(kEndings[ending].format, ending * stems.size() + stem);
    }
  }
  return std::nullopt;
}

class FolderReader {
 public:
  FolderView read(std::span<const std::string> paths) {
    const std::set<std::string_view> all(paths.begin(), paths.end());
    for (const auto& path : paths) take(path, all);
    for (auto& [key, found] : found_) view_.versions.push_back(std::move(found.version));
    return std::move(view_);
  }

 private:
  struct Found {
    FolderVersion version;
    std::size_t rank = 0;  // the lower one counts
  };
  struct Order {  // by model, the highest number first
    bool operator()(const std::pair<std::string, std::int64_t>& a,
                    const std::pair<std::string, std::int64_t>& b) const {
      return std::tie(a.first, b.second) < std::tie(b.first, a.second);
    }
  };

  void take(const std::string& path, const std::set<std::string_view>& all) {
    std::vector<std::string_view> parts;
    for (std::string_view rest = path;;) {
      const auto slash = rest.find('/');
      parts.push_back(rest.substr(0, slash));
      if (parts.back().empty() || parts.back().front() == '.') return;
      if (slash == rest.npos) break;
      rest.remove_prefix(slash + 1);
    }
    const auto file = parts.back();
    if (parts.size() == 1) return take_flat(path, file, all);
    const auto model = parts.front();
    const auto known = model_file(file, model);
    if (!known) return;
    std::int64_t number = 1;
    if (parts.size() == 3) {
      const auto version = version_number(parts[1]);
      if (!version) {
        view_.problems.push_back({path, std::format("'{}' is no version: versions are whole numbers", parts[1])});
        return;
      }
      number = *version;
    } else if (parts.size() != 2) {
      return;
    }
    const auto golden = path.substr(0, path.size() - file.size()) + std::string(kGolden);
    add(path, model, number, known->first, known->second, all.contains(golden) ? golden : "");
  }

  void take_flat(const std::string& path, std::string_view file, const std::set<std::string_view>& all) {
    for (const auto beside : {kGolden, kManifest}) {
      if (file.ends_with("." + std::string(beside))) return;
    }
    for (std::size_t i = 0; i < kEndings.size(); ++i) {
      if (!file.ends_with(kEndings[i].text)) continue;
      const auto name = file.substr(0, file.size() - kEndings[i].text.size());
      const auto golden = std::string(name) + "." + std::string(kGolden);
      constexpr std::size_t kAfterFolders = 100;
      return add(path, name, 1, kEndings[i].format, kAfterFolders + i, all.contains(golden) ? golden : "");
    }
  }

  void add(const std::string& path, std::string_view model, std::int64_t number, FolderFormat format, std::size_t rank,
           std::string golden) {
    if (!good_name(model)) {
      view_.problems.push_back(
          {path,
           "a model's name is letters, digits, dots, dashes and underscores, begins with a letter or digit, and "
           "has at most 128"});
      return;
    }
    Found found{{std::string(model), number, format, path, std::move(golden)}, rank};
    const auto [at, fresh] = found_.try_emplace({std::string(model), number}, found);
    if (fresh) return;
    if (rank < at->second.rank) std::swap(at->second, found);
    view_.problems.push_back({found.version.path, std::format("passed over: {} is version {} of '{}' already",
                                                              at->second.version.path, number, model)});
  }

  FolderView view_;
  std::map<std::pair<std::string, std::int64_t>, Found, Order> found_;
};

}  // namespace

FolderView read_folder(std::span<const std::string> paths) { return FolderReader().read(paths); }

Result<void> check_model_files(std::string_view model, std::span<const std::string> paths) {
  std::vector<std::string> full;
  for (const auto& path : paths) full.push_back(std::string(model) + "/" + path);
  const auto view = read_folder(full);
  const auto bad = [&](std::string_view path, std::string_view why) {
    return fail(Code::invalid_argument, "serve.bad_file_name", std::format("'{}': {}", path, why));
  };
  if (!view.problems.empty()) return bad(view.problems.front().path, view.problems.front().why);
  for (const auto& path : full) {
    const bool known = std::ranges::any_of(view.versions, [&](const auto& version) {
      return version.model == model && (version.path == path || version.golden == path);
    });
    if (!known)
      return bad(
          path,
          "not a file of a model; send VERSION/model with .ubj, .json, .zip, .onnx or .txt, and golden.json beside it");
  }
  return {};
}

FolderLook look_at_folder(const WatchedFiles& before, std::span<const FolderFile> listing, const SettleRules& rules,
                          const SettleTimes& now) {
  FolderLook out;
  for (const auto& file : listing) {
    const auto known = before.find(file.path);
    WatchedFile watched;
    if (known != before.end()) watched = known->second;
    const bool same = known != before.end() && !watched.gone && watched.seen == file.stamp;
    if (!same) {
      watched.seen = file.stamp;
      watched.since = now.steady;
      watched.gone = false;
    }
    if (rules.trust || now.calendar - file.stamp.modified >= rules.old ||
        (same && now.steady - watched.since >= rules.settle))
      watched.accepted = file.stamp;
    if (watched.accepted != watched.seen) out.pending = true;
    out.files.emplace(file.path, std::move(watched));
  }
  for (const auto& [path, watched] : before) {
    if (out.files.contains(path)) continue;
    auto gone = watched;
    if (!gone.gone) {
      gone.gone = true;
      gone.since = now.steady;
    }
    if (rules.trust || now.steady - gone.since >= rules.settle) continue;
    out.pending = true;
    out.files.emplace(path, std::move(gone));
  }
  return out;
}

}  // namespace millrace::serve
