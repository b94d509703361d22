#include "sim/tamper.hpp"

#include <string>
#include <vector>

namespace millrace::simulator {

namespace {

struct Statement {
  std::string sql;
  meta::Params params;
};

// What a transaction leaves for another one after it.
struct Later {
  std::vector<Statement> statements;
  std::vector<meta::Event> events;
  bool empty() const { return statements.empty() && events.empty(); }
};

bool left_for_later(Plant plant, std::string_view sql, const meta::Params& params) {
  switch (plant) {
    case Plant::effect_after_completion:
      return sql.starts_with("INSERT INTO sim_effects");
    case Plant::effect_before_completion:
      return sql.starts_with("UPDATE flow_jobs SET state = $2, ended_at");
    case Plant::alias_pair_in_two:
      return sql.starts_with("INSERT INTO registry_aliases") && params.at(1) == meta::Value(std::string("current"));
    case Plant::roll_in_two:
      return sql.starts_with("INSERT INTO loop_rolls");
    default:
      return false;
  }
}

class TamperedTx final : public meta::Tx {
 public:
  TamperedTx(meta::Tx& tx, Plant plant, Later& later) : tx_(tx), plant_(plant), later_(later) {}

  Result<meta::Rows> query(std::string_view sql, meta::Params params) override {
    if (plant_ == Plant::label_stored_twice && sql.starts_with("SELECT seq FROM label_labels WHERE model = $1 AND dig"))
      return meta::Rows();
    TRY(auto rows, tx_.query(sql, std::move(params)));
    if (plant_ == Plant::alias_without_verdict && sql.starts_with("SELECT model, number, run, artifact")) {
      for (auto& row : rows) {
        std::vector<meta::Value> values;
        for (std::size_t i = 0; i < row.size(); ++i) values.push_back(row.at(i));
        if (values.at(6) == meta::Value(std::string("failed"))) values[6] = std::string("passed");
        row = meta::Row(std::move(values));
      }
    }
    return rows;
  }

  Result<std::int64_t> exec(std::string_view sql, meta::Params params) override {
    if (left_for_later(plant_, sql, params)) {
      later_.statements.push_back({std::string(sql), std::move(params)});
      return 1;
    }
    if (plant_ == Plant::label_stored_twice && sql.starts_with("INSERT INTO label_labels"))
      std::get<std::string>(params.back()) += std::to_string(++salt_);
    return tx_.exec(sql, std::move(params));
  }

  Result<void> emit(meta::Event event) override {
    if (plant_ != Plant::event_outside_transaction) return tx_.emit(std::move(event));
    later_.events.push_back(std::move(event));
    return {};
  }

 private:
  meta::Tx& tx_;
  Plant plant_;
  Later& later_;
  static inline std::uint64_t salt_ = 0;
};

class TamperedStore final : public meta::Store {
 public:
  TamperedStore(meta::Store& store, Plant plant) : store_(store), plant_(plant) {}

  Result<std::vector<meta::OutboxEvent>> outbox_after(std::int64_t seq, std::size_t max) override {
    return store_.outbox_after(seq, max);
  }
  Result<void> outbox_forget(std::int64_t up_to) override { return store_.outbox_forget(up_to); }
  Result<void> outbox_continue_above(std::int64_t seq) override { return store_.outbox_continue_above(seq); }
  void on_event(std::function<void()> wake) override { store_.on_event(std::move(wake)); }
  Result<void> verify() override { return store_.verify(); }

 protected:
  Result<void> do_write(std::function<Result<void>(meta::Tx&)> fn) override {
    Later later;
    TRY_VOID(store_.write([&](meta::Tx& tx) -> Result<void> {
      TamperedTx tampered(tx, plant_, later);
      return fn(tampered);
    }));
    if (later.empty()) return {};
    return store_.write([&](meta::Tx& tx) -> Result<void> {
      for (auto& one : later.statements) TRY_VOID(tx.exec(one.sql, one.params));
      for (auto& one : later.events) TRY_VOID(tx.emit(one));
      return {};
    });
  }
  Result<void> do_read(std::function<Result<void>(meta::Reader&)> fn) override { return store_.read(fn); }

 private:
  meta::Store& store_;
  Plant plant_;
};

class TamperedQueue final : public queue::Queue {
 public:
  TamperedQueue(queue::Queue& queue, meta::Store& store, Plant plant) : queue_(queue), store_(store), plant_(plant) {}

  Result<std::vector<std::uint64_t>> publish_batch(std::span<const queue::Event> events) override {
    if (plant_ == Plant::relay_forgets_first && !events.empty())
      TRY_VOID(store_.outbox_forget(static_cast<std::int64_t>(events.back().dedup_id)));
    std::vector<queue::Event> changed(events.begin(), events.end());
    if (plant_ == Plant::relay_without_numbers) {
      for (auto& event : changed) event.dedup_id = 0;
    }
    return queue_.publish_batch(changed);
  }
  Result<void> add_consumer(std::string_view name, const queue::ConsumerOptions& options) override {
    return queue_.add_consumer(name, options);
  }
  Result<void> remove_consumer(std::string_view name) override { return queue_.remove_consumer(name); }
  std::vector<queue::ConsumerInfo> consumers() override { return queue_.consumers(); }
  Result<std::vector<queue::Message>> fetch(std::string_view consumer, std::size_t max) override {
    return queue_.fetch(consumer, max);
  }
  Result<void> ack(std::string_view consumer, std::uint64_t seq) override { return queue_.ack(consumer, seq); }
  queue::Subscription subscribe(std::function<void()> look_again) override {
    return queue_.subscribe(std::move(look_again));
  }
  Result<std::uint64_t> trim() override { return queue_.trim(); }
  queue::Stats stats() override { return queue_.stats(); }

 private:
  queue::Queue& queue_;
  meta::Store& store_;
  Plant plant_;
};

}  // namespace

std::unique_ptr<meta::Store> tamper_with(meta::Store& store, Plant plant) {
  switch (plant) {
    case Plant::event_outside_transaction:
    case Plant::effect_after_completion:
    case Plant::effect_before_completion:
    case Plant::alias_pair_in_two:
    case Plant::alias_without_verdict:
    case Plant::label_stored_twice:
    case Plant::roll_in_two:
      return std::make_unique<TamperedStore>(store, plant);
    default:
      return nullptr;
  }
}

std::unique_ptr<queue::Queue> tamper_with(queue::Queue& queue, meta::Store& store, Plant plant) {
  if (plant != Plant::relay_forgets_first && plant != Plant::relay_without_numbers) return nullptr;
  return std::make_unique<TamperedQueue>(queue, store, plant);
}

}  // namespace millrace::simulator
