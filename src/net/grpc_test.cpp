// What the server decides before the library is there; what the library does is driven by real clients in
// test_v2_grpc.py.
#include "net/grpc.hpp"

#include <gtest/gtest.h>

#include "base/testing/env.hpp"

namespace millrace::net {
namespace {

TEST(Grpc, BeyondThisMachineItNeedsAToken) {
  TestEnv world;
  const auto open = GrpcServer::open({.host = "0.0.0.0", .port = 0}, {}, world.env);
  ASSERT_FALSE(open);
  EXPECT_EQ("net.token_needed", open.error().reason);
  EXPECT_TRUE(
      GrpcServer::open({.host = "0.0.0.0", .port = 0, .auth = {.token = Secret("0123456789abcdef")}}, {}, world.env));
}

TEST(Grpc, AMissingLibraryIsNamed) {
  TestEnv world;
  auto server = GrpcServer::open({.port = 0, .library = "/nowhere/millrace-grpc.so"}, {}, world.env);
  ASSERT_TRUE(server);
  EXPECT_EQ("", (*server)->address());
  const auto started = (*server)->start();
  ASSERT_FALSE(started);
  EXPECT_EQ("net.grpc_missing", started.error().reason);
  EXPECT_EQ(Code::unavailable, started.error().code);
  EXPECT_TRUE(started.error().message.contains("/nowhere/millrace-grpc.so"));
  EXPECT_TRUE((*server)->stop(Duration(0)));
}

TEST(Grpc, AddressesThatCannotBe) {
  TestEnv world;
  for (const std::string host : {"nowhere.example", "127.0.0.256"}) {
    auto server = GrpcServer::open({.host = host, .auth = {.token = Secret("0123456789abcdef")}}, {}, world.env);
    ASSERT_TRUE(server);
    EXPECT_EQ("net.bad_address", (*server)->start().error().reason) << host;
  }
}

}  // namespace
}  // namespace millrace::net
