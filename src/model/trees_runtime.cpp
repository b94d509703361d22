#include "base/log.hpp"
#include "model/flat_internal.hpp"
#include "model/trees_proof_internal.hpp"

namespace millrace::model {
namespace {

// Our own trees in front; behind them what only their engine can say, where somebody may ask for it.
class TreesRuntime final : public Runtime {
 public:
  TreesRuntime(TreesEngine trees, const Runtime& engine)
      : trees_(std::move(trees)), kind_(engine.kind()), version_(engine.version()), build_(engine.build()) {}
  explicit TreesRuntime(FlatTrees flat)
      : trees_(TreesEngine::of_form(std::move(flat.form))),
        kind_(flat.kind),
        version_(std::move(flat.version)),
        build_(std::move(flat.build)) {}
  void keep(std::unique_ptr<Runtime> engine) { engine_ = std::move(engine); }
  std::string flat() const { return write_flat({kind_, version_, build_, trees_.form()}); }

  OutputKind kind() const override { return kind_; }
  const std::string& version() const override { return version_; }
  const std::string& build() const override { return build_; }
  bool own_trees() const override { return true; }
  std::uint64_t memory_bytes() const override {
    return trees_.memory_bytes() + sizeof *this + (engine_ ? engine_->memory_bytes() : 0);
  }

  Result<void> predict(std::span<const float> features, std::size_t rows, std::vector<float>& out) const override {
    out.resize(rows * trees_.outputs());
    trees_.predict(features.data(), rows, out.data());
    return {};
  }

  Result<void> contributions(std::span<const float> features, std::size_t rows,
                             std::vector<float>& out) const override {
    if (engine_) return engine_->contributions(features, rows, out);
    return fail(Code::unimplemented, "model.no_contributions",
                "this model was loaded to predict; load it once more to explain");
  }
  bool explains() const override { return engine_ != nullptr; }

 private:
  TreesEngine trees_;
  OutputKind kind_;
  std::string version_, build_;
  std::unique_ptr<Runtime> engine_;
};

Result<std::unique_ptr<TreesRuntime>> proven(const Forest& forest, const Runtime& engine) {
  TRY(auto trees, TreesEngine::build(forest));
  TRY_VOID(prove_trees(forest, trees, engine));
  return std::make_unique<TreesRuntime>(std::move(trees), engine);
}

}  // namespace

std::string flat_of(const Runtime& runtime) {
  const auto* trees = dynamic_cast<const TreesRuntime*>(&runtime);
  return trees ? trees->flat() : "";
}

std::unique_ptr<Runtime> runtime_of_flat(std::string_view text, std::size_t features, std::size_t outputs) {
  auto flat = read_flat(text);
  if (!flat || flat->form.features != features || flat->form.base.size() != outputs) return nullptr;
  return std::make_unique<TreesRuntime>(std::move(*flat));
}

std::unique_ptr<Runtime> engine_after_all(std::unique_ptr<Runtime> engine, const Error& error,
                                          const RuntimeOptions& options) {
  if (options.log) {
    options.log->warn("model_trees_refused",
                      {{"model", options.name}, {"reason", error.reason}, {"message", error.message}});
  }
  return engine;
}

std::unique_ptr<Runtime> with_own_trees(std::unique_ptr<Runtime> engine, const Forest& forest,
                                        const RuntimeOptions& options) {
  auto runtime = proven(forest, *engine);
  if (!runtime) return engine_after_all(std::move(engine), runtime.error(), options);
  if (options.explains) (*runtime)->keep(std::move(engine));
  return std::move(*runtime);
}

std::unique_ptr<Runtime> with_own_trees(std::unique_ptr<Runtime> engine, std::string_view ubj,
                                        const RuntimeOptions& options) {
  const auto forest = read_forest(ubj);
  if (!forest) return engine_after_all(std::move(engine), forest.error(), options);
  return with_own_trees(std::move(engine), *forest, options);
}

}  // namespace millrace::model
