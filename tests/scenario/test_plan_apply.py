"""`plan` and `apply`: what each kind of edit causes, what is wrong with a file and where, and that every key of the product page is known."""
import re

import pytest

from conftest import SHARED, Server, small_project, wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    small_project(folder, more='[retrain]\nschedule = "daily"\n[labels]\nmature = "30d"\n')
    made = Server(folder).start().wait_ready()
    yield made
    made.stop()


@pytest.fixture
def project(server):
    """The project file; whatever a test did to it is applied back."""
    path = server.folder / "millrace.toml"
    before = path.read_text()
    yield path
    path.write_text(before)
    server.cli("apply", expect=None)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


EDITS = [  # what is edited, to what, the line of the plan
    ('">= 0.6"', '">= 0.55"', r'gates\.auc +">= 0\.6" +">= 0\.55" +gates only'),
    ('schedule = "daily"', 'schedule = "daily 02:00"', r'retrain\.schedule +"daily" +"daily 02:00" +schedule only'),
    ('mature = "30d"', 'mature = "10d"', r'labels\.mature +"30d" +"10d" +nothing'),
    ("[labels]", "[check.data]\nrows = '>= 10'\n[labels]", r'check\.data\.rows +">= 10" +checks run again'),
    ("[labels]", "[profile.lan]\nlisten = '0.0.0.0:7070'\n[labels]", r""),
]


@pytest.mark.parametrize("old, new, line", EDITS)
def test_what_an_edit_causes(server, project, old, new, line):
    applied, runs = server.get("/api/v1/project").body, len(server.get("/api/v1/runs").json["runs"])
    edit(project, old, new)
    plan = server.cli("plan", expect=0 if line else 4)
    assert server.get("/api/v1/project").body == applied, "a plan changes nothing"
    if not line:
        return  # another profile than the one in use: nothing to do
    assert re.search(line, plan.stdout), plan.stdout
    assert re.search(line, server.cli("apply").stdout)
    assert server.get("/api/v1/project").body != applied or "retrain" in old, "the completed file is another one"
    assert "nothing to do" in server.cli("apply", expect=4).stdout
    assert len(server.get("/api/v1/runs").json["runs"]) == runs, "none of these trains"


def test_a_parameter_trains_again(server, project):
    newest = max(v["number"] for v in server.model("small")["versions"])
    edit(project, "rounds = 20", "rounds = 21")
    assert re.search(r"model\.trainer\.rounds +20 +21 +retrain", server.cli("plan").stdout)
    assert max(v["number"] for v in server.model("small")["versions"]) == newest
    server.cli("apply")
    server.wait_versions("small", newest + 1)
    run = server.get("/api/v1/runs").json["runs"][0]
    assert run["cause"].startswith("project file changed"), run
    edit(project, "rounds = 21", "rounds = 20")
    server.cli("apply")
    server.wait_versions("small", newest + 2)


def test_a_source_is_read_again(server, project):
    data = server.folder / "other.csv"
    data.write_text((server.folder / "data.csv").read_text().replace("red", "pink"))
    edit(project, "file:data.csv", "file:other.csv")
    assert re.search(r'source\.data\.uri +"file:data\.csv" +"file:other\.csv" +retrain', server.cli("plan").stdout)
    server.cli("apply")
    wait_for("the other file's version", lambda: server.get("/api/v1/datasets").json["versions"][0]["source"] == "file:other.csv")


def test_a_window_that_is_closed_is_named(server, project):
    # Open for one minute that is over; a run in that minute of the day is told nothing and passes too.
    edit(project, "[retrain]\n", '[retrain]\nwindow = { from = "04:00", to = "04:01" }\n')
    edit(project, "rounds = 20", "rounds = 22")
    plan = server.cli("plan").stdout
    assert "millrace retrain" in plan or not re.search("window|opens|waits", plan), plan


MISTAKES = [  # edit, words that must be there
    ("schedule =", "scedule =", ["line", "column", "retrain.scedule", "did you mean schedule?"]),
    ("[labels]", "[lables]", ["unknown key lables", "did you mean labels?"]),
    ("rounds = 20", "roundz = 20", ["model.trainer.roundz", "did you mean rounds?"]),
    ('"auc" =', '"auk" =', ["no metric 'auk'", "did you mean 'auc'?"]),
    ('target = "data.y"', 'target = "date.y"', ["no [source.date]", "did you mean data?"]),
    ('"daily"', '"dayly"', ["retrain.schedule", '"dayly"']),
    ('"30d"', '"30 moons"', ["labels.mature"]),
    ("[labels]", '[privacy]\npolicies = ["gdpr"]\n[labels]', ["not available yet: [privacy] line 12"]),
    ('"file:data.csv"', '"s3://lake/data.csv"', ["not available yet", "s3://lake/data.csv", "line 4"]),
    ('name = "small"', 'name = "other"', ["belongs to project 'small'", "--data-dir"]),
    ("[labels]", "[labels", ["line"]),
]


@pytest.mark.parametrize("old, new, words", MISTAKES)
def test_a_mistake_is_named_with_its_place(server, project, old, new, words):
    applied = server.get("/api/v1/project").body
    edit(project, old, new)
    for command in ("plan", "apply"):
        done = server.cli(command, expect=1)
        assert all(word in done.stderr for word in words), done.stderr
    assert server.get("/api/v1/project").body == applied
    assert server.get("/readyz").status == 200


def test_all_mistakes_come_together(server, project):
    edit(project, "schedule =", "scedule =")
    edit(project, "mature =", "matur =")
    done = server.cli("plan", expect=1)
    assert "2 problems" in done.stderr and "scedule" in done.stderr and "matur" in done.stderr


def test_a_column_that_is_not_there_is_noted(server, project):
    edit(project, '"data.y"', '"data.yy"')
    plan = server.cli("plan").stdout
    assert "no column 'yy'" in plan and "did you mean 'y'?" in plan, plan


def test_a_file_that_is_not_there_is_noted_and_shown(server, project):
    edit(project, "file:data.csv", "file:nowhere.csv")
    assert "no file nowhere.csv" in server.cli("plan").stdout
    server.cli("apply")
    wait_for("the trouble in status", lambda: "nowhere.csv" in server.cli("status").stdout)
    assert server.get("/readyz").status == 200, "what serves goes on"


def test_no_file_here(server, tmp_path):
    done = Server(tmp_path, env={"MILLRACE_URL": server.url}).cli("plan", expect=64)
    assert "cli.no_project" in done.stderr and "millrace init" in done.stderr


def product_examples():
    page = SHARED / "PRODUCT.md"
    return re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL) if page.is_file() else []


@pytest.mark.parametrize("number, text", list(enumerate(product_examples())) or [pytest.param(0, "", marks=pytest.mark.skip(reason="no PRODUCT.md"))])
def test_every_key_of_the_product_page_is_known(servers, tmp_path, number, text):
    (tmp_path / "millrace.toml").write_text(text)
    done = servers().cli("explain", "--loop", expect=None)
    assert "unknown key" not in done.stderr and "problems" not in done.stderr, done.stderr
    assert done.returncode == 0 or re.search(r"not available yet: .*line \d+", done.stderr), done.stderr
