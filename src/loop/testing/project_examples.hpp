// Project files for tests: the ones of the product page, word for word, and one that uses everything that is built.
#pragma once

#include <string_view>

namespace millrace::loop::testing {

// clang-format off
inline constexpr std::string_view shortest = R"toml([project]
name = "churn"
[source.customers]
uri = "file:customers.csv"
key = "customer_id"
[model]
target = "customers.churned"
[gates]
"auc" = ">= 0.80"
[retrain]
schedule = "daily"
window = "quietest"
)toml";

inline constexpr std::string_view tabular = R"toml([project]
name     = "churn"
timezone = "Europe/Lisbon"

# where data comes from: file, https, s3, postgres, nats, kafka use the same keys
[source.customers]
uri   = "postgres://crm/customers"
key   = "customer_id"
time  = "updated_at"
every = "1h"

[source.events]
uri  = "s3://lake/events/*.parquet"
key  = "customer_id"
time = "ts"

[source.cancellations]            # the truth, known late
uri  = "postgres://crm/cancellations"
key  = "customer_id"
time = "cancelled_at"

# what must be true before anything is trained on it
[check.customers]
rows    = ">= 1000"
age     = { type = "int", min = 16, max = 110, nulls = "<= 2%" }
country = { type = "category", new_values = "warn" }
email   = { type = "text", sensitive = "personal" }        # masked, never a feature

[features]
tenure_days = "days(now - customers.signup)"
logins_30d  = "count(events where kind = 'login') over 30d"
spend_90d   = { expr = "sum(events.amount) over 90d", fresh = "6h" }
plan        = "customers.plan"
country     = "customers.country"

[model]
target  = { expr = "exists(cancellations) within 30d", type = "binary", mature = "30d" }
inputs  = ["tenure_days", "logins_30d", "spend_90d", "plan", "country"]
trainer = "auto"                  # boosted-trees | linear | image | command
split   = { by = "time", test = "30d" }

[tune]
trials = 40
budget = { time = "20m" }
metric = "auc"
[tune.space]                      # any path of this file may be searched, data included
"model.trainer.learning_rate" = { log = [0.01, 0.3] }
"model.trainer.depth"         = [4, 6, 8]
"model.history"               = ["180d", "365d"]

# a model which fails one line never serves
[gates]
"auc"                          = ">= 0.80"
"auc - current.auc"            = ">= -0.005"
"auc where country = 'PT'"     = ">= 0.75"
"tpr_gap by gender"            = "<= 0.05"
"latency.p99"                  = "<= 20ms"
"model.bytes"                  = "<= 50MB"

[retrain]
schedule  = "daily"
when      = ["drift > 0.2", "new_labels >= 2000", "live.auc < 0.78"]
window    = { from = "22:00", to = "05:00", weekends = true, holidays = "PT" }   # or "quietest"
resources = { cpu = 4, memory = "8GB", workers = 1, max_duration = "2h" }

[release]
steps    = ["replay 14d", "shadow 1h", "canary 5%", "canary 25%", "full"]
harm     = { metric = "auc", drop = 0.01, error = 0.05 }   # sequential test, may stop at any time
rollback = "auto"
fallback = { deadline = "50ms", answer = ["previous", "constant 0.1"] }

[batch.weekly]
schedule = "Mon 06:00"
rows     = "customers"
to       = "postgres://crm/churn_scores"

[alerts]
to = ["slack:#churn", "webhook:https://ops.example.com/hook"]

[retention]
models      = "all"               # or 1 = newest only; a version in use is always kept
predictions = "400d"

[privacy]
policies = ["gdpr"]
subject  = "customer_id"

[profile.prod]                    # the only difference between laptop and production
store    = "s3://company-millrace"
metadata = "postgres://ops/millrace"
queue    = "nats://ops:4222"
listen   = "0.0.0.0:7070"
)toml";

inline constexpr std::string_view images = R"toml([project]
name = "bread"

[source.photos]
uri  = "upload"                   # POST images, a zip, or rows with links
type = "image"

[labels]
field   = "kind"
classes = ["baguette", "rye", "roll"]
new     = "ask"                   # a person may add a class
trust   = ["human"]               # the model's own guesses are never used as truth
queue   = { per_day = 100, pick = "uncertain", random_share = 0.3 }

[model]
input   = "photos.image"
target  = "labels.kind"
trainer = { name = "image", size = [64, 64] }

[gates]
"accuracy"                    = ">= 0.90"
"accuracy - current.accuracy" = ">= -0.002"
"recall by kind"              = ">= 0.80"

[retrain]
when      = ["new_labels >= 100"]
schedule  = "daily 02:00"
data      = { new = 100, old = "all" }
window    = "quietest"
resources = { cpu = 2, memory = "4GB" }

[release]
steps    = ["replay 7d", "canary 10%", "full"]
rollback = "auto"

[edge.camera]
target = "linux-arm64"
memory = "256MB"
gates  = { "accuracy - server.accuracy" = ">= -0.01", "latency.p95" = "<= 120ms" }

[retention]
models = 3
)toml";

inline constexpr std::string_view stream = R"toml([project]
name     = "price"
timezone = "Australia/Sydney"

[source.market]
uri      = "nats://prices.half-hourly"   # kafka://, POST and replayed files speak the same contract
time     = "ts"
lateness = "5m"

[check.market]
every  = { gap = "<= 45m", then = "alert" }
price  = { type = "float", min = -1000, max = 20000 }

[features]
hour       = "hour(ts)"
weekday    = "weekday(ts)"
lag_30m    = "lag(market.price, 30m)"
mean_24h   = "mean(market.price) over 24h"

[model]
target  = { expr = "market.price > mean_24h", at = "+30m", type = "binary", mature = "30m" }
inputs  = ["hour", "weekday", "lag_30m", "mean_24h"]
trainer = "boosted-trees"
history = "adaptive"              # starts after the last confirmed change

[rival.naive]
rule = "same as last period"      # the baseline that must be beaten

[drift]
inputs = ["psi", "ks"]            # sketches kept at request time
error  = "adwin"                  # labels arrive after 30 minutes, so watch the error itself
false_alarms = "<= 1 per month"

[gates]
"accuracy"                  = ">= 0.70"
"accuracy - naive.accuracy" = ">= 0.03"

[retrain]
when = ["drift confirmed"]
min  = { new_rows = 500 }

[release]
steps    = ["replay 30d", "full"]
rollback = "auto"

[simulate]                        # millrace simulate: months in minutes, same code
from     = "file:market.csv"
scenario = ["feed stops 6h on day 40", "unit of demand changes on day 70"]
)toml";

inline constexpr std::string_view everything = R"toml([project]
name = "income"
timezone = "America/New_York"

[source.adult]
uri = "file:data/adult_train.csv.gz"
key = "id"
header = false
names = ["id", "age", "income"]
delimiter = ","
format = "csv"
[source.more]
uri = "upload"

[check.adult]
rows = ">= 1000"
age = { type = "int", min = 16, max = 110, nulls = "<= 2%" }
income = { type = "category", values = ["<=50K", ">50K"], new_values = "fail" }
id = { unique = true }
email = { type = "text", sensitive = "personal" }

[model]
target = { column = "adult.income", type = "binary", positive = ">50K", mature = "30d" }
inputs = ["age"]
exclude = ["id"]
split = { by = "hash", test = 0.25, validation = 0.1 }
[model.trainer]
name = "boosted-trees"
learning_rate = 0.05
depth = 8
rounds = 300
early_stopping = 30
subsample = 0.9
colsample = 0.8
min_child_weight = 2
lambda = 1.5
alpha = 0.1
colsample_level = 0.9
colsample_node = 0.7
gamma = 0.01
max_leaves = 60
grow_policy = "lossguide"
max_bin = 128
max_delta_step = 1
positive_weight = "balanced"
seed = 7
threads = 2

[gates]
"auc" = ">= 0.80"
"auc - current.auc" = ">= -0.005"
"auc - baseline.auc" = "> error"
"auc where country = 'PT'" = ">= 0.75"
"latency.p99" = "<= 20ms"
"model.bytes" = "<= 50MB"

[retrain]
schedule = "daily 02:00"
when = ["new_rows >= 1000", "new_labels >= 2000", "live.auc < 0.78"]
window = { from = "22:00", to = "05:00", weekends = true, holidays = [2026-12-25, 2027-01-01] }
resources = { cpu = 4, memory = "8GB", max_duration = "90m" }
data = { new = 100, old = "all" }

[release]
steps = ["full"]
rollback = "manual"

[labels]
classes = ["<=50K", ">50K"]
trust = ["human", "system", "model"]
queue = { per_day = 10, pick = "random", random_share = 0.5 }

[retention]
models = 3
predictions = "400d"

[serve]
origins = ["https://app.example.com", "http://localhost:3000"]
access_log = "1%"
queue = 16
concurrency = 2
priority = "low"
batching = { max_rows = 64, max_delay = "500us", preferred = [8, 32] }
fallback = { value = "<=50K" }
[serve.log]
full = "refuse"
share = 0.25
bytes = "2GB"

[batch.weekly]
model = "adult:3"
schedule = "Mon 06:00"
in = "new/{date}/*.csv"
out = "scores/{date}-{version}.parquet"
[batch.all]
rows = "adult"
out = "all.csv"

[telemetry]
otlp = "http://127.0.0.1:4318"
sample = 0.1

[profile.prod]
listen = "0.0.0.0:7070"
grpc = "0.0.0.0:8001"
hosts = ["ml.example.com"]
tls = { certificate = "cert.pem", key = "/etc/millrace/key.pem" }
data_dir = "/var/lib/millrace"
seal = "file:/etc/millrace/master.key"
)toml";

inline constexpr std::string_view by_command = R"toml([project]
name = "own"
[source.rows]
uri = "upload"
[model]
target = "rows.y"
[model.trainer]
name = "command"
command = "python3 train.py --data \"$MILLRACE_TRAIN_DATA\""
seed = 3
depth = 500
rate = 0.5
optimizer = "adam"
fast = true
layers = [64, 32]
"odd name" = "a \"quoted\" one"
)toml";

inline constexpr std::string_view minimal = R"toml([project]
name = "p"
[source.rows]
uri = "upload"
[model]
target = "rows.y"
)toml";
inline constexpr int minimal_lines = 6;
// clang-format on

}  // namespace millrace::loop::testing
