// Every key of the project file, declared once: a table of cases, in the order of the page that describes the file.
// A key that is known but not built yet has `later`; using it is refused by name, never ignored.
#include "loop/project_schema_internal.hpp"

namespace millrace::loop::schema {
namespace {

constexpr double day = 86'400, century = 36'500 * day;

// clang-format off
constexpr Key all_keys[] = {
    {.path = "project", .forms = table, .needed = true, .help = "What this project is called.", .example = "[project]"},
    {.path = "project.name", .forms = text, .judge = judge_name, .needed = true, .effect = Effect::retrain, .help = "Name of the project and of its model: letters, digits, - and _.", .example = "\"churn\""},
    {.path = "project.timezone", .forms = text, .fallback = "\"UTC\"", .judge = judge_zone, .effect = Effect::schedule, .help = "IANA time zone of schedules and windows.", .example = "\"Europe/Lisbon\""},

    {.path = "source", .forms = table, .needed = true, .help = "Where data comes from.", .example = "[source.customers]"},
    {.path = "source.*", .forms = table, .judge = judge_name, .help = "One source, by a name of your choice.", .example = "[source.customers]"},
    {.path = "source.*.uri", .forms = text, .judge = judge_uri, .needed = true, .effect = Effect::retrain, .help = "\"file:\" and a path relative to this file, or \"upload\" for data sent to the API.", .example = "\"file:customers.csv\""},
    {.path = "source.*.key", .forms = text, .judge = judge_not_empty, .effect = Effect::retrain, .help = "Column that names a row; rows with the same key stay on one side of the split.", .example = "\"customer_id\""},
    {.path = "source.*.header", .forms = boolean, .fallback = "true", .effect = Effect::retrain, .help = "Whether the first line of a CSV holds the column names.", .example = "false"},
    {.path = "source.*.names", .forms = list, .items = text, .fallback = "[]", .judge = judge_not_empty, .effect = Effect::retrain, .help = "Column names of a file without a header.", .example = "[\"age\", \"job\"]"},
    {.path = "source.*.delimiter", .forms = text, .judge = judge_character, .effect = Effect::retrain, .help = "What stands between two fields of a CSV; found out from the file when absent.", .example = "\";\""},
    {.path = "source.*.format", .forms = text, .fallback = "\"auto\"", .words = "auto|csv|parquet", .effect = Effect::retrain, .help = "Format of the file; auto goes by its name and content.", .example = "\"csv\""},
    {.path = "source.*.time", .forms = text, .later = true, .help = "Column that says when a row became true.", .example = "\"updated_at\""},
    {.path = "source.*.every", .forms = duration, .later = true, .help = "How often the source is read.", .example = "\"1h\""},
    {.path = "source.*.type", .forms = text, .words = "rows|image", .later = true, .help = "What one item is.", .example = "\"image\""},
    {.path = "source.*.lateness", .forms = duration, .later = true, .help = "How late rows of a stream may come.", .example = "\"5m\""},

    {.path = "check", .forms = table, .help = "What must be true before anything is trained on the data.", .example = "[check.customers]"},
    {.path = "check.*", .forms = table, .help = "Checks of one source.", .example = "[check.customers]"},
    {.path = "check.*.rows", .forms = text, .judge = judge_plain_comparison, .effect = Effect::checks, .help = "How many rows a version must have.", .example = "\">= 1000\""},
    {.path = "check.*.every", .forms = table, .later = true, .help = "How old the newest row may be.", .example = "{ gap = \"<= 45m\", then = \"alert\" }"},
    {.path = "check.*.every.gap", .forms = text, .judge = judge_plain_comparison, .later = true, .help = "Longest pause between two rows.", .example = "\"<= 45m\""},
    {.path = "check.*.every.then", .forms = text, .words = "alert|fail", .later = true, .help = "What a longer pause causes.", .example = "\"alert\""},
    {.path = "check.*.*", .forms = table, .effect = Effect::checks, .help = "What must hold for one column.", .example = "{ type = \"int\", min = 16, max = 110 }"},
    {.path = "check.*.*.type", .forms = text, .words = "int|float|number|bool|category|text|date|timestamp", .effect = Effect::checks, .help = "Type of the column.", .example = "\"int\""},
    {.path = "check.*.*.min", .forms = number, .effect = Effect::checks, .help = "Least value.", .example = "16"},
    {.path = "check.*.*.max", .forms = number, .effect = Effect::checks, .help = "Greatest value.", .example = "110"},
    {.path = "check.*.*.nulls", .forms = text, .judge = judge_plain_comparison, .effect = Effect::checks, .help = "Share of missing values that is allowed.", .example = "\"<= 2%\""},
    {.path = "check.*.*.values", .forms = list, .items = text | number | boolean, .fallback = "[]", .effect = Effect::checks, .help = "The values that are allowed; all when empty.", .example = "[\"PT\", \"ES\"]"},
    {.path = "check.*.*.unique", .forms = boolean, .fallback = "false", .effect = Effect::checks, .help = "No value may occur twice.", .example = "true"},
    {.path = "check.*.*.new_values", .forms = text, .fallback = "\"allow\"", .words = "allow|warn|fail", .effect = Effect::checks, .help = "What a value causes that the version before did not have.", .example = "\"warn\""},
    {.path = "check.*.*.sensitive", .forms = text, .words = "personal", .effect = Effect::retrain, .help = "Masked where it is shown, and never an input of the model.", .example = "\"personal\""},

    {.path = "features", .forms = table, .later = true, .help = "Features computed from the sources.", .example = "[features]"},
    {.path = "features.*", .forms = text | table, .later = true, .help = "One feature.", .example = "\"sum(events.amount) over 90d\""},
    {.path = "features.*.expr", .forms = text, .later = true, .help = "The feature's expression.", .example = "\"sum(events.amount) over 90d\""},
    {.path = "features.*.fresh", .forms = duration, .later = true, .help = "How old the online value may be.", .example = "\"6h\""},

    {.path = "model", .forms = table, .needed = true, .help = "What is predicted, from what, and how it is learnt.", .example = "[model]"},
    {.path = "model.target", .forms = text | table, .judge = judge_target, .needed = true, .effect = Effect::retrain, .help = "What is predicted: source and column.", .example = "\"customers.churned\""},
    {.path = "model.target.column", .forms = text, .judge = judge_target, .effect = Effect::retrain, .help = "Source and column of the target.", .example = "\"customers.churned\""},
    {.path = "model.target.expr", .forms = text, .judge = judge_target_expr, .effect = Effect::retrain, .help = "The same; expressions come later.", .example = "\"customers.churned\""},
    {.path = "model.target.type", .forms = text, .fallback = "\"auto\"", .words = "auto|binary|multiclass|regression", .effect = Effect::retrain, .help = "Kind of task; auto goes by the target's values.", .example = "\"binary\""},
    {.path = "model.target.positive", .forms = text | number | boolean, .effect = Effect::retrain, .help = "The same as model.positive.", .example = "\"Yes\""},
    {.path = "model.target.mature", .forms = duration, .max = century, .effect = Effect::nothing, .help = "The same as labels.mature.", .example = "\"30d\""},
    {.path = "model.target.at", .forms = text, .later = true, .help = "How far ahead the target lies.", .example = "\"+30m\""},
    {.path = "model.positive", .forms = text | number | boolean, .effect = Effect::retrain, .help = "Value of the target that counts as positive; found out when absent.", .example = "\"Yes\""},
    {.path = "model.inputs", .forms = list, .items = text, .fallback = "[]", .judge = judge_not_empty, .effect = Effect::retrain, .help = "Columns the model may use; all that are fit when empty.", .example = "[\"age\", \"plan\"]"},
    {.path = "model.exclude", .forms = list, .items = text, .fallback = "[]", .judge = judge_not_empty, .effect = Effect::retrain, .help = "Columns the model never uses.", .example = "[\"email\"]"},
    {.path = "model.trainer", .forms = text | table, .fallback = "\"auto\"", .words = "auto|boosted-trees", .words_later = "linear|image", .effect = Effect::retrain, .help = "What learns; auto is boosted-trees. A table sets its parameters.", .example = "{ name = \"boosted-trees\", depth = 8 }"},
    {.path = "model.trainer.name", .forms = text, .fallback = "\"auto\"", .words = "auto|boosted-trees|command", .words_later = "linear|image", .effect = Effect::retrain, .help = "What learns.", .example = "\"command\""},
    {.path = "model.trainer.command", .forms = text, .judge = judge_not_empty, .effect = Effect::retrain, .help = "Program of the trainer \"command\"; a child process with limits.", .example = "\"python train.py\""},
    {.path = "model.trainer.learning_rate", .forms = number, .fallback = "0.1", .min = 1e-6, .max = 1, .effect = Effect::retrain, .help = "Step of each round.", .example = "0.05"},
    {.path = "model.trainer.depth", .forms = integer, .fallback = "6", .min = 1, .max = 30, .effect = Effect::retrain, .help = "Levels of a tree.", .example = "8"},
    {.path = "model.trainer.rounds", .forms = integer, .fallback = "300", .min = 1, .max = 1e5, .effect = Effect::retrain, .help = "Trees at most (per class).", .example = "1000"},
    {.path = "model.trainer.early_stopping", .forms = integer, .fallback = "20", .min = 0, .max = 1e5, .effect = Effect::retrain, .help = "Stops after so many rounds without a better validation metric; 0: never.", .example = "50"},
    {.path = "model.trainer.subsample", .forms = number, .fallback = "1.0", .min = 1e-6, .max = 1, .effect = Effect::retrain, .help = "Share of the rows that each round sees.", .example = "0.8"},
    {.path = "model.trainer.colsample", .forms = number, .fallback = "1.0", .min = 1e-6, .max = 1, .effect = Effect::retrain, .help = "Share of the columns that each tree sees.", .example = "0.8"},
    {.path = "model.trainer.min_child_weight", .forms = number, .fallback = "1.0", .min = 0, .max = 1e9, .effect = Effect::retrain, .help = "Least weight of a leaf.", .example = "5"},
    {.path = "model.trainer.lambda", .forms = number, .fallback = "1.0", .min = 0, .max = 1e9, .effect = Effect::retrain, .help = "L2 penalty of leaf values.", .example = "2"},
    {.path = "model.trainer.alpha", .forms = number, .fallback = "0.0", .min = 0, .max = 1e9, .effect = Effect::retrain, .help = "L1 penalty of leaf values.", .example = "0.5"},
    {.path = "model.trainer.seed", .forms = integer, .fallback = "1", .min = 0, .max = 2147483647, .effect = Effect::retrain, .help = "Seed of everything random in training.", .example = "7"},
    {.path = "model.trainer.threads", .forms = integer, .fallback = "0", .min = 0, .max = 1024, .effect = Effect::retrain, .help = "Threads; 0: as many as retrain.resources.cpu. With subsample below 1 the model's bytes depend on it.", .example = "2"},
    {.path = "model.trainer.size", .forms = list, .items = integer, .later = true, .help = "Size images are brought to.", .example = "[64, 64]"},
    {.path = "model.split", .forms = table, .help = "Which rows are kept for testing.", .example = "{ by = \"hash\", test = 0.2 }"},
    {.path = "model.split.by", .forms = text, .fallback = "\"hash\"", .words = "hash", .words_later = "time", .effect = Effect::retrain, .help = "hash: by the row's key, without one by its content; a row never changes sides.", .example = "\"hash\""},
    {.path = "model.split.test", .forms = number, .forms_later = duration, .fallback = "0.2", .min = 0.01, .max = 0.9, .effect = Effect::retrain, .help = "Share of the rows that is only for testing.", .example = "0.2"},
    {.path = "model.split.validation", .forms = number, .fallback = "0.1", .min = 0.01, .max = 0.9, .effect = Effect::retrain, .help = "Share of the rows that decides when training stops.", .example = "0.1"},
    {.path = "model.input", .forms = text, .later = true, .help = "The one input of an image model.", .example = "\"photos.image\""},
    {.path = "model.history", .forms = text | duration, .later = true, .help = "How far back training looks.", .example = "\"365d\""},

    {.path = "tune", .forms = table, .later = true, .help = "Search for better parameters.", .example = "[tune]"},
    {.path = "tune.trials", .forms = integer, .later = true, .help = "Trials at most.", .example = "40"},
    {.path = "tune.budget", .forms = table, .later = true, .help = "What the search may cost.", .example = "{ time = \"20m\" }"},
    {.path = "tune.budget.time", .forms = duration, .later = true, .help = "Time the search may take.", .example = "\"20m\""},
    {.path = "tune.metric", .forms = text, .later = true, .help = "What is made better.", .example = "\"auc\""},
    {.path = "tune.space", .forms = table, .later = true, .help = "Paths of this file and what they may be.", .example = "[tune.space]"},
    {.path = "tune.space.*", .forms = list | table, .items = text | number | boolean, .later = true, .help = "Values of one path.", .example = "[4, 6, 8]"},
    {.path = "tune.space.*.log", .forms = list, .items = number, .later = true, .help = "A range searched by its logarithm.", .example = "[0.01, 0.3]"},

    {.path = "gates", .forms = table, .help = "A model that fails one line never serves.", .example = "[gates]"},
    {.path = "gates.*", .forms = text, .judge = judge_comparison, .effect = Effect::gates, .help = "A metric, or a difference of two, and what it must be.", .example = "\">= 0.80\""},

    {.path = "retrain", .forms = table, .help = "When a new model is trained.", .example = "[retrain]"},
    {.path = "retrain.schedule", .forms = text, .judge = judge_schedule, .effect = Effect::schedule, .help = "By the clock, in the project's time zone.", .example = "\"daily 02:00\""},
    {.path = "retrain.when", .forms = list, .items = text, .fallback = "[]", .judge = judge_condition, .effect = Effect::schedule, .help = "By what happened: new_rows >= N, new_labels >= N, live.METRIC < x; one is enough.", .example = "[\"new_labels >= 2000\"]"},
    {.path = "retrain.window", .forms = text | table, .fallback = "\"any\"", .words = "any|quietest", .effect = Effect::schedule, .help = "When training may start: two times of day, or the quietest hours.", .example = "{ from = \"22:00\", to = \"05:00\" }"},
    {.path = "retrain.window.from", .forms = text, .judge = judge_time_of_day, .needed = true, .effect = Effect::schedule, .help = "Opens at this time of day.", .example = "\"22:00\""},
    {.path = "retrain.window.to", .forms = text, .judge = judge_time_of_day, .needed = true, .effect = Effect::schedule, .help = "Closes at this time of day.", .example = "\"05:00\""},
    {.path = "retrain.window.weekends", .forms = boolean, .fallback = "false", .effect = Effect::schedule, .help = "Saturdays and Sundays are open all day.", .example = "true"},
    {.path = "retrain.window.holidays", .forms = list, .forms_later = text, .items = date, .fallback = "[]", .judge = judge_date, .effect = Effect::schedule, .help = "Days that are open all day; a country's by its name come later.", .example = "[2026-12-25]"},
    {.path = "retrain.resources", .forms = table, .help = "What one training may use.", .example = "{ cpu = 4, memory = \"8GB\" }"},
    {.path = "retrain.resources.cpu", .forms = number, .fallback = "0", .min = 0, .max = 4096, .effect = Effect::schedule, .help = "Cores; 0: all of the machine.", .example = "4"},
    {.path = "retrain.resources.memory", .forms = size, .min = 64e6, .max = 1e15, .effect = Effect::schedule, .help = "Memory; more ends the training.", .example = "\"8GB\""},
    {.path = "retrain.resources.max_duration", .forms = duration, .fallback = "\"2h\"", .min = 1, .max = century, .effect = Effect::schedule, .help = "Time after which the training is stopped.", .example = "\"2h\""},
    {.path = "retrain.resources.workers", .forms = integer, .later = true, .help = "Processes that train one model together.", .example = "2"},
    {.path = "retrain.data", .forms = table, .help = "What the next training set is made of.", .example = "{ new = 100, old = \"all\" }"},
    {.path = "retrain.data.new", .forms = text | integer, .fallback = "\"all\"", .words = "all", .min = 1, .max = 1e12, .effect = Effect::schedule, .help = "New labelled rows: all, or a deterministic sample of so many.", .example = "100"},
    {.path = "retrain.data.old", .forms = text | integer, .fallback = "\"all\"", .words = "all", .min = 1, .max = 1e12, .effect = Effect::schedule, .help = "Rows of earlier trainings: all, or a deterministic sample of so many.", .example = "10000"},
    {.path = "retrain.min", .forms = table, .later = true, .help = "What must be there besides.", .example = "{ new_rows = 500 }"},
    {.path = "retrain.min.new_rows", .forms = integer, .later = true, .help = "New rows at least.", .example = "500"},
    {.path = "retrain.min.new_labels", .forms = integer, .later = true, .help = "New labels at least.", .example = "100"},

    {.path = "release", .forms = table, .help = "How a model that passed its gates comes to serve.", .example = "[release]"},
    {.path = "release.steps", .forms = list, .items = text, .fallback = "[\"full\"]", .judge = judge_release_step, .effect = Effect::schedule, .help = "Steps to all of the traffic.", .example = "[\"full\"]"},
    {.path = "release.rollback", .forms = text, .fallback = "\"manual\"", .words = "manual", .words_later = "auto", .effect = Effect::schedule, .help = "Whether a fall of live quality brings back the previous model by itself.", .example = "\"manual\""},
    {.path = "release.harm", .forms = table, .later = true, .help = "What counts as harm during a release.", .example = "{ metric = \"auc\", drop = 0.01 }"},
    {.path = "release.harm.metric", .forms = text, .later = true, .help = "The metric.", .example = "\"auc\""},
    {.path = "release.harm.drop", .forms = number, .later = true, .help = "The fall that is harm.", .example = "0.01"},
    {.path = "release.harm.error", .forms = number, .later = true, .help = "Chance of a false alarm.", .example = "0.05"},
    {.path = "release.fallback", .forms = table, .later = true, .help = "What answers when the model does not.", .example = "{ deadline = \"50ms\" }"},
    {.path = "release.fallback.deadline", .forms = duration, .later = true, .help = "Time the model has.", .example = "\"50ms\""},
    {.path = "release.fallback.answer", .forms = list, .items = text, .later = true, .help = "What answers then, in order.", .example = "[\"previous\", \"constant 0.1\"]"},

    {.path = "labels", .forms = table, .help = "What was really true, sent later.", .example = "[labels]"},
    {.path = "labels.field", .forms = text, .later = true, .help = "Name of the label in what people send; the target's column when absent.", .example = "\"kind\""},
    {.path = "labels.classes", .forms = list, .items = text, .fallback = "[]", .judge = judge_not_empty, .help = "Labels that are allowed; all when empty.", .example = "[\"rye\", \"roll\"]"},
    {.path = "labels.trust", .forms = list, .items = text, .fallback = "[\"human\", \"system\"]", .words = "human|system|model", .effect = Effect::retrain, .help = "Origins that may be trained and evaluated on.", .example = "[\"human\"]"},
    {.path = "labels.mature", .forms = duration, .fallback = "\"30d\"", .max = century, .help = "A label by key joins a prediction no older than this.", .example = "\"30d\""},
    {.path = "labels.queue", .forms = table, .help = "Predictions that a person is asked about.", .example = "{ per_day = 100 }"},
    {.path = "labels.queue.per_day", .forms = integer, .fallback = "100", .min = 0, .max = 1e6, .help = "How many a day.", .example = "100"},
    {.path = "labels.queue.pick", .forms = text, .fallback = "\"uncertain\"", .words = "uncertain|random", .help = "Which ones.", .example = "\"uncertain\""},
    {.path = "labels.queue.random_share", .forms = number, .fallback = "0.3", .min = 0, .max = 1, .help = "Share of them that is drawn at random.", .example = "0.3"},
    {.path = "labels.new", .forms = text, .words = "ask|allow|refuse", .later = true, .help = "What a class nobody knows causes.", .example = "\"ask\""},

    {.path = "retention", .forms = table, .help = "How long things are kept.", .example = "[retention]"},
    {.path = "retention.models", .forms = text | integer, .fallback = "\"all\"", .words = "all", .min = 1, .max = 1e6, .help = "Newest versions whose files are kept; one in use always is.", .example = "3"},
    {.path = "retention.predictions", .forms = text | duration, .fallback = "\"all\"", .words = "all", .min = 3600, .max = century, .help = "How long logged predictions are kept.", .example = "\"400d\""},

    {.path = "batch", .forms = table, .help = "Predictions for whole tables.", .example = "[batch.weekly]"},
    {.path = "batch.*", .forms = table, .later = true, .help = "One batch, by a name of your choice.", .example = "[batch.weekly]"},
    {.path = "batch.*.schedule", .forms = text, .judge = judge_schedule, .later = true, .help = "When it runs.", .example = "\"Mon 06:00\""},
    {.path = "batch.*.rows", .forms = text, .later = true, .help = "Source it predicts.", .example = "\"customers\""},
    {.path = "batch.*.to", .forms = text, .later = true, .help = "Where the answers go.", .example = "\"file:scores.parquet\""},

    {.path = "alerts", .forms = table, .later = true, .help = "Who is told.", .example = "[alerts]"},
    {.path = "alerts.to", .forms = list, .items = text, .later = true, .help = "Where alerts go.", .example = "[\"webhook:https://ops.example.com/hook\"]"},

    {.path = "privacy", .forms = table, .later = true, .help = "Whose data this is.", .example = "[privacy]"},
    {.path = "privacy.policies", .forms = list, .items = text, .later = true, .help = "Rules that apply.", .example = "[\"gdpr\"]"},
    {.path = "privacy.subject", .forms = text, .later = true, .help = "Column that names a person.", .example = "\"customer_id\""},

    {.path = "edge", .forms = table, .help = "Models for small devices.", .example = "[edge.camera]"},
    {.path = "edge.*", .forms = table, .later = true, .help = "One kind of device, by a name of your choice.", .example = "[edge.camera]"},
    {.path = "edge.*.target", .forms = text, .later = true, .help = "System of the device.", .example = "\"linux-arm64\""},
    {.path = "edge.*.memory", .forms = size, .later = true, .help = "Its memory.", .example = "\"256MB\""},
    {.path = "edge.*.gates", .forms = table, .later = true, .help = "Gates measured on the device.", .example = "{ \"latency.p95\" = \"<= 120ms\" }"},
    {.path = "edge.*.gates.*", .forms = text, .judge = judge_comparison, .later = true, .help = "One gate.", .example = "\"<= 120ms\""},

    {.path = "rival", .forms = table, .help = "Simple rules that the model must beat.", .example = "[rival.naive]"},
    {.path = "rival.*", .forms = table, .later = true, .help = "One rival, by a name of your choice.", .example = "[rival.naive]"},
    {.path = "rival.*.rule", .forms = text, .later = true, .help = "What it answers.", .example = "\"same as last period\""},

    {.path = "drift", .forms = table, .later = true, .help = "How a change of the world is noticed.", .example = "[drift]"},
    {.path = "drift.inputs", .forms = list, .items = text, .later = true, .help = "Tests of the inputs.", .example = "[\"psi\", \"ks\"]"},
    {.path = "drift.error", .forms = text, .later = true, .help = "Test of the error.", .example = "\"adwin\""},
    {.path = "drift.false_alarms", .forms = text, .later = true, .help = "False alarms that are bearable.", .example = "\"<= 1 per month\""},

    {.path = "simulate", .forms = table, .later = true, .help = "Months in minutes.", .example = "[simulate]"},
    {.path = "simulate.from", .forms = text, .later = true, .help = "Data that is replayed.", .example = "\"file:market.csv\""},
    {.path = "simulate.scenario", .forms = list, .items = text, .later = true, .help = "What goes wrong.", .example = "[\"feed stops 6h on day 40\"]"},

    {.path = "engine", .forms = table, .help = "Other builds of the libraries that compute.", .example = "[engine.onnxruntime]"},
    {.path = "engine.*", .forms = table, .later = true, .help = "One library.", .example = "[engine.onnxruntime]"},
    {.path = "engine.*.library", .forms = text, .later = true, .help = "Path of its file.", .example = "\"/path/libonnxruntime.so\""},

    {.path = "profile", .forms = table, .help = "Where and how the project runs; the only difference between laptop and production.", .example = "[profile.prod]"},
    {.path = "profile.*", .forms = table, .judge = judge_name, .help = "One way to run it, chosen by --profile.", .example = "[profile.prod]"},
    {.path = "profile.*.listen", .forms = text, .fallback = "\"127.0.0.1:7070\"", .judge = judge_listen, .effect = Effect::restart, .help = "Address and port; any but the local one demands a token.", .example = "\"0.0.0.0:7070\""},
    {.path = "profile.*.hosts", .forms = list, .items = text, .fallback = "[]", .judge = judge_not_empty, .effect = Effect::restart, .help = "Names, besides localhost, that a browser may call the server by.", .example = "[\"ml.example.com\"]"},
    {.path = "profile.*.data_dir", .forms = text, .fallback = "\".millrace\"", .judge = judge_not_empty, .effect = Effect::restart, .help = "Data folder, relative to this file.", .example = "\"/var/lib/millrace\""},
    {.path = "profile.*.store", .forms = text, .later = true, .help = "Where blobs are kept.", .example = "\"s3://company-millrace\""},
    {.path = "profile.*.metadata", .forms = text, .later = true, .help = "Where records are kept.", .example = "\"postgres://ops/millrace\""},
    {.path = "profile.*.queue", .forms = text, .later = true, .help = "Where events go.", .example = "\"nats://ops:4222\""},
};
// clang-format on

}  // namespace

std::span<const Key> keys() { return all_keys; }

}  // namespace millrace::loop::schema
