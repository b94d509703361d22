#include "queue/queue.hpp"

#include <algorithm>

namespace millrace::queue {
namespace {

constexpr std::size_t subject_max = 256, name_max = 100;

bool word_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

}  // namespace

bool valid_subject(std::string_view subject) {
  if (subject.empty() || subject.size() > subject_max) return false;
  bool in_word = false;
  for (const char c : subject) {
    if (c == '.' ? !in_word : !word_character(c)) return false;
    in_word = c != '.';
  }
  return in_word;
}

bool valid_filter(std::string_view filter) {
  if (filter == ">") return true;
  if (filter.ends_with(".>")) filter.remove_suffix(2);
  return valid_subject(filter);
}

bool valid_name(std::string_view name) {
  return !name.empty() && name.size() <= name_max && std::ranges::all_of(name, word_character);
}

bool matches(std::string_view filter, std::string_view subject) {
  if (!filter.ends_with('>')) return filter == subject;
  filter.remove_suffix(1);  // "model." or ""
  return subject.starts_with(filter);
}

Result<std::uint64_t> Queue::publish(std::string_view subject, std::string_view payload, std::uint64_t dedup_id) {
  const Event event{std::string(subject), std::string(payload), dedup_id};
  TRY(auto seqs, publish_batch({&event, 1}));
  return seqs.front();
}

Subscription Subscribers::add(std::function<void()> look_again) {
  std::lock_guard lock(state_->mutex);
  const auto key = state_->next++;
  state_->callbacks.emplace(key, std::move(look_again));
  return Subscription([state = state_, key] {
    std::lock_guard end(state->mutex);
    state->callbacks.erase(key);
  });
}

void Subscribers::notify() {
  std::lock_guard lock(state_->mutex);
  for (const auto& [key, look_again] : state_->callbacks) look_again();
}

}  // namespace millrace::queue
