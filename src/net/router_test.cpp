#include "net/router.hpp"

#include <gtest/gtest.h>

namespace millrace::net {
namespace {

Route route(std::string method, std::string pattern) {
  return {.method = std::move(method), .pattern = std::move(pattern)};
}

Router loop_router() {
  Router router;
  for (auto pattern : {"/", "/healthz", "/predict/{model}", "/api/v1/models/{name}",
                       "/api/v1/models/{name}/versions/{version}", "/api/v1/models/all", "/files/{path...}"})
    router.add(route("GET", pattern));
  router.add(route("POST", "/predict/{model}"));
  return router;
}

TEST(Router, FindsByLiteralThenParameterThenRest) {
  struct Case {
    std::string path, pattern, parameters;
  };
  auto router = loop_router();
  for (const auto& c : std::vector<Case>{
           {"/", "/", ""},
           {"/healthz", "/healthz", ""},
           {"/predict/churn", "/predict/{model}", "model=churn;"},
           {"/predict/a%2Fb%20c", "/predict/{model}", "model=a/b c;"},
           {"/api/v1/models/all", "/api/v1/models/all", ""},
           {"/api/v1/models/al", "/api/v1/models/{name}", "name=al;"},
           {"/api/v1/models/all/versions/3", "/api/v1/models/{name}/versions/{version}", "name=all;version=3;"},
           {"/files/a/b%2Fc.txt", "/files/{path...}", "path=a/b/c.txt;"},
           {"/files/a/", "/files/{path...}", "path=a/;"},
       }) {
    Request request{.method = "GET", .path = c.path};
    auto found = router.find(request);
    ASSERT_TRUE(std::holds_alternative<const Route*>(found)) << c.path;
    EXPECT_EQ(std::get<const Route*>(found)->pattern, c.pattern);
    std::string parameters;
    for (auto& [name, value] : request.path_parameters) parameters += std::string(name) + "=" + value + ";";
    EXPECT_EQ(parameters, c.parameters) << c.path;
  }
}

TEST(Router, RefusesWhatIsNotThere) {
  auto router = loop_router();
  for (std::string path : {"", "healthz", "*", "/healthz/", "/predict/", "/predict", "/predict/a/b", "/files/",
                           "/files", "//healthz", "/HEALTHZ"}) {
    Request request{.method = "GET", .path = path};
    EXPECT_TRUE(std::holds_alternative<Router::NotFound>(router.find(request))) << path;
  }
}

TEST(Router, NamesTheMethodsThatAPathTakes) {
  auto router = loop_router();
  Request request{.method = "DELETE", .path = "/predict/churn"};
  auto found = router.find(request);
  ASSERT_TRUE(std::holds_alternative<Router::WrongMethod>(found));
  EXPECT_EQ(std::get<Router::WrongMethod>(found).allow, "GET, HEAD, POST");
  Request head{.method = "HEAD", .path = "/healthz"};
  EXPECT_TRUE(std::holds_alternative<const Route*>(router.find(head)));
}

TEST(Router, HintsAtTheNearestPattern) {
  auto router = loop_router();
  auto routes = router.routes();
  EXPECT_EQ(nearest_pattern("/healtz", routes), "/healthz");
  EXPECT_EQ(nearest_pattern("/predit/churn", routes), "/predict/{model}");
  EXPECT_EQ(nearest_pattern("/api/v1/model/churn/version/3", routes), "/api/v1/models/{name}/versions/{version}");
  EXPECT_EQ(nearest_pattern("/healthz/", routes), "/healthz");
  EXPECT_EQ(nearest_pattern("/predict", routes), "/predict/{model}");
  EXPECT_EQ(nearest_pattern("/wp-admin/setup-config.php", routes), "");
}

TEST(Router, WritesNeedMoreThanReads) {
  Router router;
  router.add(route("GET", "/a"));
  router.add(route("POST", "/a"));
  Route open = route("POST", "/b");
  open.options.access = Access::open;
  router.add(std::move(open));
  EXPECT_EQ(router.routes()[0]->access, Access::read);
  EXPECT_EQ(router.routes()[1]->access, Access::write);
  EXPECT_EQ(router.routes()[2]->access, Access::open);
}

TEST(RouterDeathTest, TwoRoutesForOneRequestAreADefect) {
  EXPECT_DEATH(
      {
        Router router;
        router.add(route("GET", "/models/{a}"));
        router.add(route("GET", "/models/{b}"));
      },
      "two routes");
}

}  // namespace
}  // namespace millrace::net
