#include "sim/story.hpp"

#include <format>

namespace millrace::simulator {

namespace {

class Story {
 public:
  explicit Story(const StoryOptions& options) : options_(options), sim_(options.seed, options.plant) {
    for (const auto part : {blob_operations(), garbage_operations(), label_operations(), job_operations(),
                            loop_operations(), release_operations(), log_operations(), queue_operations()})
      operations_.insert(operations_.end(), part.begin(), part.end());
    for (const auto& one : operations_) weights_ += one.weight;
  }

  Told run() {
    open_well();
    int done = sim_.one_in(3) ? 0 : grow_up();
    while (sim_.ok() && done < options_.operations) done += step();
    while (sim_.ok() && crashes_ < options_.crashes) {
      end(End::power);
      open_well();
    }
    if (sim_.ok()) audit(sim_);
    Told told{sim_.wrong, std::move(sim_.trace), std::move(sim_.counts), sim_.world.reached()};
    return told;
  }

 private:
  World& world() { return sim_.world; }

  // Nothing bad happens until two versions may be moved between: what most of a server's life looks like. Gives how
  // many operations that took.
  int grow_up() {
    const auto loop = loop_operations();
    std::uint64_t weights = 0;
    for (const auto& one : loop) weights += one.weight;
    int done = 0;
    for (; sim_.ok() && done < 120 && sim_.release.newest() < 2; ++done) {
      world().clock.advance(std::chrono::milliseconds(1 + sim_.below(3'000)));
      operate(draw_of(loop, weights));
    }
    return done;
  }

  // ---- one step: a fault or none, a few operations under it, and then it is known what is there

  int step() {
    world().clock.advance(std::chrono::milliseconds(1 + sim_.below(3'000)));
    if (sim_.one_in(30)) set_clock();
    const bool fault = set_fault();
    int done = 0;
    const auto wanted = fault ? 1 + sim_.below(4) : 1;
    for (; done < static_cast<int>(wanted) && sim_.ok() && !sim_.unsettled; ++done) operate(draw());
    if (!sim_.ok()) return done;
    if (fault || sim_.unsettled) {
      settle();
    } else if (sim_.one_in(60)) {
      stop(sim_.one_in(2) ? End::restart : sim_.one_in(3) ? End::kill : End::power);
    } else if (sim_.one_in(40)) {
      audit(sim_);
    }
    return done;
  }

  // Under a fault every third is drawn without the weights: it is the rare kinds' halves that nobody has seen yet.
  const Operation& draw() {
    if (sim_.fault_set && sim_.one_in(3)) return operations_[sim_.below(operations_.size())];
    return draw_of(operations_, weights_);
  }
  const Operation& draw_of(std::span<const Operation> from, std::uint64_t weights) {
    auto at = sim_.below(weights);
    std::size_t chosen = 0;
    for (; at >= from[chosen].weight; ++chosen) at -= from[chosen].weight;
    return from[chosen];
  }

  void operate(const Operation& one) {
    ++sim_.counts[std::format("operation {}", one.name)];
    ++sim_.counts["operations"];
    one.run(sim_);
  }

  // Somebody sets the clock: never more than 25 minutes from the true time.
  void set_clock() {
    const auto wanted = std::chrono::minutes(sim_.below(51)) - std::chrono::minutes(25);
    world().clock.step_calendar(wanted - clock_off_);
    clock_off_ = wanted;
    ++sim_.counts["clock set"];
    sim_.note("clock set", format_time(sim_.now()));
  }

  bool set_fault() {
    auto& disk = world().raw_disk;
    const std::uint64_t within = sim_.one_in(2) ? 40 : 250;  // soon, or deep inside of a long operation
    const bool after_sync = sim_.one_in(2);                  // between two steps that are each durable
    switch (sim_.below(45)) {
      case 0:
      case 1:
        after_sync ? disk.die_after_sync(sim_.below(5)) : disk.die_at(sim_.below(within));
        return fault("death");
      case 2:
      case 3:
        after_sync ? disk.fail_after_sync(sim_.below(5)) : disk.fail_at(sim_.below(within));
        return fault("input/output error");
      case 4:
        disk.set_capacity(world().used_bytes() + sim_.below(30'000));
        return fault("full disk");
      case 5:
      case 6:
      case 7: {
        const auto points = simulated_fault_points();
        world().arm(std::format("{}=error@{}", points[sim_.below(points.size())], 1 + sim_.below(3)));
        return fault("fault point");
      }
      default:
        return false;
    }
  }
  bool fault(std::string_view kind) {
    ++sim_.counts[std::format("fault: {}", kind)];
    sim_.fault_set = true;
    sim_.note("fault", kind);
    return true;
  }

  // ---- the end of a process, and the next one

  void end(End how) {
    static constexpr std::string_view names[] = {"power lost", "killed", "restarted"};
    sim_.note(names[static_cast<std::size_t>(how)]);
    ++sim_.counts[std::string(names[static_cast<std::size_t>(how)])];
    if (how != End::restart) ++crashes_;
    if (how == End::power) sim_.log.power_lost();
    if (how == End::restart) {
      sim_.upload.reset();
      world().end(how);
    } else {
      world().raw_disk.die_at(0);
      sim_.upload.reset();
      world().end(how);
    }
    sim_.fault_set = false;
  }

  void stop(End how) {
    end(how);
    // And once more while it recovers.
    while (sim_.one_in(5)) {
      world().raw_disk.die_at(sim_.below(150));
      sim_.fault_set = true;
      const auto opened = world().open();
      sim_.note("opens", opened ? "ok" : opened.error().reason);
      if (!opened && opened.error().code == Code::data_loss) return sim_.say("opening: " + opened.error().message);
      end(sim_.one_in(3) ? End::kill : End::power);
    }
    open_well();
  }

  void open_well() {
    if (!sim_.ok()) return;
    const auto opened = world().open();
    if (!opened) return sim_.say("it does not open: " + opened.error().reason + ": " + opened.error().message);
    sim_.note("opened");
    sim_.unsettled = false;
    begin(sim_);
    if (sim_.ok()) audit(sim_);
  }

  // Afterwards nothing that failed can still come.
  void settle() {
    // After the error of a fault point the process often dies too: then what it would have done next is not done.
    const bool dead = world().dead() || (sim_.unsettled && sim_.one_in(4));
    world().clear_faults();
    sim_.fault_set = false;
    sim_.unsettled = false;
    if (dead) return stop(sim_.one_in(3) ? End::kill : End::power);
    const auto written = barrier();
    if (written) return look(sim_);
    sim_.note("barrier", written.error().reason);
    if (written.error().reason != "meta.sync_failed")
      return sim_.say("no write works after a fault: " + written.error().reason + ": " + written.error().message);
    const auto how = sim_.below(3);
    stop(how == 0 ? End::restart : how == 1 ? End::kill : End::power);
  }

  Result<void> barrier() {
    return sim_.m().store->write([&](meta::Tx& tx) -> Result<void> {
      TRY_VOID(tx.exec("DELETE FROM sim_barrier"));
      TRY_VOID(tx.exec("INSERT INTO sim_barrier (n) VALUES ($1)", {static_cast<std::int64_t>(++barriers_)}));
      return {};
    });
  }

  StoryOptions options_;
  Sim sim_;
  std::vector<Operation> operations_;
  std::uint64_t weights_ = 0;
  std::uint64_t barriers_ = 0;
  int crashes_ = 0;
  Duration clock_off_{};
};

}  // namespace

Told tell(const StoryOptions& options) { return Story(options).run(); }

}  // namespace millrace::simulator
