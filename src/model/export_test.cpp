#include "model/export.hpp"

#include <gtest/gtest.h>

#include "base/testing/reason.hpp"
#include "model/artifact.hpp"
#include "model/testing/models.hpp"

namespace millrace::model {
namespace {

TEST(Export, XgboostFilesInBothFormats) {
  const auto artifact = *testing::sample_artifact(TaskType::binary);
  const auto ubj = export_model(artifact, "ubj", {});
  ASSERT_TRUE(ubj) << ubj.error().message;
  EXPECT_EQ(*ubj, read_artifact(artifact)->engine_file) << "the file as it is";
  const auto json = export_model(artifact, "xgboost-json", {});
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_TRUE(json->starts_with("{") && json->find("\"learner\"") != std::string::npos);

  // The JSON is the same model: an artifact made of it answers the same golden rows.
  auto manifest = read_artifact(artifact)->manifest;
  manifest.engine.file = "model.json";
  const auto again = write_artifact(manifest, *json);
  ASSERT_TRUE(again);
  EXPECT_EQ(*export_model(*again, "xgboost-json", {}), *json);
  EXPECT_EQ(*export_model(*again, "ubj", {}), *ubj);
}

TEST(Export, TheManifestIsTheArtifactsOwn) {
  const auto artifact = *testing::sample_artifact(TaskType::binary);
  const auto manifest = export_model(artifact, "manifest", {});
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_NE(artifact.find(*manifest), std::string::npos) << "stored as it is";
}

TEST(Export, Refusals) {
  EXPECT_EQ(reason_of(export_model("no archive", "ubj", {})), "model.bad_artifact");
  EXPECT_EQ(reason_of(export_model(*testing::sample_artifact(TaskType::binary), "pmml", {})), "model.bad_format");
  auto manifest = testing::sample_manifest(TaskType::regression);
  manifest.engine = {.name = "constant", .file = "model.json"};
  const auto constant = write_artifact(manifest, constant_engine_file({1.5F}));
  ASSERT_TRUE(constant) << constant.error().message;
  EXPECT_EQ(reason_of(export_model(*constant, "ubj", {})), "model.other_engine");
}

}  // namespace
}  // namespace millrace::model
