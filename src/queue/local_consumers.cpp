// Consumers and their durable positions: consumers.json, replaced atomically.
#include <fmt/format.h>

#include <algorithm>

#include "base/fault.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "queue/local_internal.hpp"

namespace millrace::queue {
namespace stored {

struct ConsumersFile {
  int format = 1;
  std::vector<StoredConsumer> consumers;
};

}  // namespace stored

using namespace stored;

std::string render_consumers(const std::vector<StoredConsumer>& consumers) {
  return json::render(ConsumersFile{1, consumers}) + "\n";
}

Result<std::vector<StoredConsumer>> parse_consumers(std::string_view text, const std::string& path) {
  auto file = json::parse<ConsumersFile>(text, path);
  if (!file) {
    return fail(Code::data_loss, "queue.corrupt",
                file.error().message +
                    ". Restore the file from a backup, or remove it: consumers then begin with the "
                    "oldest event that is kept");
  }
  if (file->format != 1) {
    return fail(Code::failed_precondition, "queue.format",
                fmt::format("{} has format {}, this Millrace reads 1; use the newer version that wrote it", path,
                            file->format));
  }
  return std::move(file->consumers);
}

bool LocalQueue::positions_moved() const {
  return std::ranges::any_of(consumers_,
                             [](const auto& entry) { return entry.second->position != entry.second->saved_position; });
}

Result<void> LocalQueue::load_consumers() {
  auto text = read_file(env_.fs, path("consumers.json"));
  if (!text) return text.error().code == Code::not_found ? ok() : Result<void>(fail(text.error()));
  TRY(auto stored, parse_consumers(*text, path("consumers.json")));
  for (const StoredConsumer& s : stored) {
    auto consumer = std::make_shared<Consumer>();
    consumer->name = s.name;
    consumer->filter = s.filter;
    consumer->position = consumer->saved_position = s.position;
    // Somebody removed segments? A seq is never given out twice, so that no new event looks old.
    if (s.position >= next_seq_) next_seq_ = durable_seq_ = s.position + 1;
    consumers_.emplace(s.name, std::move(consumer));
  }
  return ok();
}

Result<void> LocalQueue::save() {
  std::unique_lock lock(save_mutex_);
  const auto wanted = ++wanted_save_;
  while (done_save_ < wanted) {
    if (saving_) {
      saved_.wait(lock);
      continue;
    }
    saving_ = true;
    const auto covered = wanted_save_;
    lock.unlock();
    std::vector<StoredConsumer> stored;
    std::vector<std::shared_ptr<Consumer>> entries;
    {
      std::lock_guard map_lock(consumers_mutex_);
      for (const auto& [name, consumer] : consumers_) {
        stored.push_back({name, consumer->filter, consumer->position});
        entries.push_back(consumer);
      }
    }
    auto result = env_.faults.reach("queue.positions.before_write");
    if (result) result = write_file(env_.fs, path("consumers.json"), render_consumers(stored));
    if (result) {
      for (std::size_t i = 0; i < entries.size(); ++i) entries[i]->saved_position = stored[i].position;
      result = env_.faults.reach("queue.positions.after_write");
    }
    lock.lock();
    saving_ = false;
    if (result) done_save_ = covered;
    saved_.notify_all();
    if (!result) return result;  // the others try for themselves
  }
  return ok();
}

std::shared_ptr<LocalQueue::Consumer> LocalQueue::find(std::string_view name) {
  std::lock_guard lock(consumers_mutex_);
  const auto found = consumers_.find(name);
  return found == consumers_.end() ? nullptr : found->second;
}

Result<void> LocalQueue::add_consumer(std::string_view name, const ConsumerOptions& options) {
  if (!valid_name(name)) {
    return fail(Code::invalid_argument, "queue.bad_name",
                fmt::format("'{}' is no name for a consumer; use letters, digits, '_' and '-'", name.substr(0, 100)));
  }
  if (!valid_filter(options.filter)) {
    return fail(Code::invalid_argument, "queue.bad_filter",
                fmt::format("'{}' is no filter; write a subject, a prefix like 'model.>', or '>'",
                            options.filter.substr(0, 100)));
  }
  std::lock_guard one(add_mutex_);
  if (const auto existing = find(name)) {
    if (existing->filter == options.filter) return ok();
    return fail(Code::failed_precondition, "queue.consumer_differs",
                fmt::format("consumer '{}' has the filter '{}', not '{}'; remove it first or take another name", name,
                            existing->filter, options.filter));
  }
  auto consumer = std::make_shared<Consumer>();
  consumer->name = name;
  consumer->filter = options.filter;
  const Stats now = stats();
  consumer->position = options.start == Start::now ? now.last_seq : now.first_seq - 1;
  {
    std::lock_guard lock(consumers_mutex_);
    if (consumers_.size() >= config_.consumers_max) {
      return fail(Code::resource_exhausted, "queue.too_many_consumers",
                  fmt::format("there are {} consumers already; remove those that are not used", consumers_.size()));
    }
    consumers_.emplace(consumer->name, consumer);
  }
  auto saved = save();
  if (!saved) {
    std::lock_guard lock(consumers_mutex_);
    consumers_.erase(consumer->name);
  }
  return saved;
}

Result<void> LocalQueue::remove_consumer(std::string_view name) {
  std::lock_guard one(add_mutex_);
  {
    std::lock_guard lock(consumers_mutex_);
    const auto found = consumers_.find(name);
    if (found == consumers_.end()) return ok();
    consumers_.erase(found);
  }
  return save();
}

std::vector<ConsumerInfo> LocalQueue::consumers() {
  const Stats now = stats();
  std::vector<ConsumerInfo> out;
  std::lock_guard lock(consumers_mutex_);
  for (const auto& [name, consumer] : consumers_) {
    const std::uint64_t position = consumer->position;
    out.push_back(
        {name, consumer->filter, position, now.last_seq - std::min(now.last_seq, position), consumer->missed});
  }
  return out;
}

}  // namespace millrace::queue
