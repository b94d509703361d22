#include "meta/folder.hpp"

#include <unistd.h>

#include <array>

#include "base/clock.hpp"
#include "base/fault.hpp"
#include "base/json.hpp"

namespace millrace::meta {

namespace {

struct FormatFile {
  int format = 0;
  std::string program;
  std::string made;
};

struct Holder {
  long long pid = 0;
  std::string host;
  std::string program;
  std::string since;
};

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "?";
  return name.data();
}

Error refused(const std::string& path, Error error) {
  if (error.code == Code::permission_denied) {
    error.reason = "meta.denied";
    error.message = "the data folder " + path + " can't be written: " + error.message +
                    "; change its owner, or choose another with --data-dir";
  } else if (error.code == Code::resource_exhausted) {
    error.reason = "meta.disk_full";
  }
  return error;
}

Error locked(Fs& fs, const std::string& path, const std::string& lock_path, Error error) {
  if (error.reason != "fs.locked") return refused(path, std::move(error));
  std::string who = "another process";
  if (auto text = read_file(fs, lock_path, 4096)) {
    if (auto holder = json::parse_lenient<Holder>(*text, lock_path); holder && holder->pid != 0)
      who = holder->program + ", process " + std::to_string(holder->pid) + " on " + holder->host + ", since " +
            holder->since;
  }
  return {Code::failed_precondition, "meta.folder_locked",
          "the data folder " + path + " is in use by " + who +
              "; stop it (millrace down), or choose another with --data-dir"};
}

Result<bool> check_format(Env env, const std::string& path, const std::string& program) {
  const auto file = join_path(path, "format");
  auto text = read_file(env.fs, file, 4096);
  if (!text && text.error().code != Code::not_found) return fail(refused(path, std::move(text).error()));
  if (text) {
    auto known = json::parse_lenient<FormatFile>(*text, file);
    if (!known || known->format < 1)
      return fail(Code::data_loss, "meta.bad_format",
                  file + " is damaged, so nothing in the folder was touched; millrace doctor --mend makes it again");
    if (known->format > folder_format)
      return fail(Code::failed_precondition, "meta.newer_format",
                  "the data folder " + path + " has format " + std::to_string(known->format) + ", written by " +
                      known->program + "; this is " + program + ", which knows formats up to " +
                      std::to_string(folder_format) + ". Use that version or a newer one");
    return false;
  }
  if (exists(env.fs, join_path(path, "meta.db")))
    return fail(
        Code::data_loss, "meta.bad_format",
        "the data folder " + path + " holds a database but no file `format`; millrace doctor --mend makes it again");
  TRY_VOID(env.faults.reach("meta.folder.before_format"));
  const FormatFile mine{folder_format, program, format_time(env.clock.now())};
  if (auto written = write_file(env.fs, file, json::render(mine) + "\n"); !written)
    return fail(refused(path, std::move(written).error()));
  TRY_VOID(env.faults.reach("meta.folder.after_format"));
  return true;
}

}  // namespace

Result<std::unique_ptr<DataFolder>> DataFolder::open(Env env, const std::string& path, const std::string& program) {
  std::unique_ptr<DataFolder> folder(new DataFolder);
  folder->path_ = path;
  if (auto made = env.fs.make_dirs(path); !made) return fail(refused(path, std::move(made).error()));
  const auto lock_path = join_path(path, "lock");
  const Holder me{::getpid(), host_name(), program, format_time(env.clock.now())};
  auto lock = env.fs.lock(lock_path, json::render(me) + "\n");
  if (!lock) return fail(locked(env.fs, path, lock_path, std::move(lock).error()));
  folder->lock_ = std::move(*lock);
  TRY(folder->fresh_, check_format(env, path, program));
  return folder;
}

}  // namespace millrace::meta
