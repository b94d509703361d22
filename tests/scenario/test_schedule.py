"""A retrain by schedule really fires, at the wall-clock time of the project's zone, in summer and in winter, also when the time passed while down."""
import datetime
import subprocess
import zoneinfo

import pytest

from conftest import MILLRACE, small_project, wait_for

LISBON = zoneinfo.ZoneInfo("Europe/Lisbon")


def clock_at(moment):
    """The environment that puts the program's calendar at `moment` now."""
    ahead = moment.astimezone(datetime.timezone.utc) - datetime.datetime.now(datetime.timezone.utc)
    assert ahead > datetime.timedelta(0)
    return {"MILLRACE_CLOCK_OFFSET": f"{int(ahead / datetime.timedelta(milliseconds=1))}ms"}


def runs(server):
    return server.get("/api/v1/runs").json["runs"]


def made(run):
    return datetime.datetime.fromisoformat(run["created"])


@pytest.mark.parametrize("day, utc", [(datetime.date(2031, 7, 10), "01:00"), (datetime.date(2031, 12, 10), "02:00")])
def test_daily_fires_at_the_zones_hour(servers, tmp_path, day, utc):
    small_project(tmp_path, more='[retrain]\nschedule = "daily 02:00"\n')
    project = tmp_path / "millrace.toml"
    project.write_text(project.read_text().replace('name = "small"', 'name = "small"\ntimezone = "Europe/Lisbon"'))
    noon = datetime.datetime.combine(day, datetime.time(12), LISBON)
    due = datetime.datetime.combine(day + datetime.timedelta(days=1), datetime.time(2), LISBON)

    server = servers(env=clock_at(noon)).start().wait_ready()
    waited = wait_for("the schedule", lambda: [m for m in server.get("/api/v1/status").json["models"] if "schedule" in m["next_retrain"]])[0]
    assert f"{due.astimezone(datetime.timezone.utc):%Y-%m-%d} {utc} UTC" in waited["next_retrain"], waited
    assert len(runs(server)) == 1
    server.stop()

    server.env = clock_at(due - datetime.timedelta(seconds=4))
    server.start().wait_ready()
    run = wait_for("the run by schedule", lambda: runs(server) if len(runs(server)) == 2 else None)[0]
    assert run["cause"] == "schedule daily 02:00", run
    assert datetime.timedelta(0) <= made(run) - due < datetime.timedelta(seconds=5), (run["created"], due)
    server.wait_versions("small", 2)
    # What the job's own process stamped is by the same calendar.
    metrics = server.get(f"/api/v1/runs/{run['id']}/metrics").json["metrics"]
    stamps = [datetime.datetime.fromisoformat(point["time"]) for points in metrics.values() for point in points]
    assert stamps and all(datetime.timedelta(0) <= stamp - made(run) < datetime.timedelta(minutes=2) for stamp in stamps), (run["created"], stamps[:3])


@pytest.mark.parametrize("name, value", [("MILLRACE_CALENDAR_SPEED", "0"), ("MILLRACE_CALENDAR_SPEED", "100001"), ("MILLRACE_CALENDAR_SPEED", "fast"),
                                         ("MILLRACE_CALENDAR_SINCE", "yesterday"), ("MILLRACE_CLOCK_OFFSET", "-1h")])
def test_a_calendar_for_tests_that_makes_no_sense(tmp_path, name, value):
    done = subprocess.run([MILLRACE, "status"], cwd=tmp_path, capture_output=True, text=True, env={"MILLRACE_CALENDAR_SPEED": "600", name: value})
    assert done.returncode == 64 and name in done.stderr, done


def test_what_was_missed_runs_once(servers, tmp_path):
    small_project(tmp_path, more='[retrain]\nschedule = "0 6 * * 1-5"\n')
    monday = datetime.datetime(2031, 7, 7, 12, tzinfo=datetime.timezone.utc)
    server = servers(env=clock_at(monday)).start().wait_ready()
    server.stop()
    server.env = clock_at(monday + datetime.timedelta(days=20))
    server.start()
    server.wait_versions("small", 2)
    wait_for("the next one", lambda: "2031-07-28 06:00 UTC" in server.get("/api/v1/status").json["models"][0]["next_retrain"])
    assert [r["cause"] for r in runs(server)][0] == "schedule 0 6 * * 1-5" and len(runs(server)) == 2


def test_a_window_holds_it_back(servers, tmp_path):
    small_project(tmp_path, more='[retrain]\nschedule = "hourly"\nwindow = { from = "22:00", to = "05:00" }\n')
    noon = datetime.datetime(2031, 7, 8, 12, 30, tzinfo=datetime.timezone.utc)
    server = servers(env=clock_at(noon)).start().wait_ready()
    server.stop()
    server.env = clock_at(noon.replace(hour=21, minute=59, second=56))
    server.start().wait_ready()
    wait_for("the reason why it waits", lambda: "22:00" in server.get("/api/v1/status").json["models"][0]["next_retrain"])
    run = wait_for("the run once the window is open", lambda: runs(server) if len(runs(server)) == 2 else None)[0]
    assert made(run).hour == 22 and run["cause"] == "schedule hourly", run


def test_holidays_of_a_region(servers, tmp_path):
    """A day of the list opens a window that is closed; a list that is gone or wrong closes it again, and says so."""
    day = datetime.datetime(2031, 7, 8, 12, tzinfo=datetime.timezone.utc)
    small_project(tmp_path, more='[retrain]\nwhen = ["new_rows >= 1"]\nwindow = { from = "22:00", to = "05:00", holidays = "PT" }\n')
    text = (tmp_path / "millrace.toml").read_text()
    server = servers(env=clock_at(day))
    server.start(wait=False)
    wait_for("the refusal", server.gone)
    assert "holidays/PT.txt" in server.log()

    (tmp_path / "holidays").mkdir()
    listed = tmp_path / "holidays" / "PT.txt"
    listed.write_text("# Portugal\n2031-12-25 Natal\n")
    server.start().wait_ready()
    rows = (tmp_path / "data.csv").read_text()
    (tmp_path / "data.csv").write_text(rows + "0.7,red,1\n")
    waits = lambda: server.get("/api/v1/status").json["models"][0]["next_retrain"]
    assert "holidays of PT" in wait_for("the window", lambda: waits() if "22:00" in waits() else None)
    listed.write_text("2031-12-25 Natal\n2031-13-08 nothing\n")
    wait_for("what is wrong with the list", lambda: "PT.txt:2" in waits())
    (tmp_path / "millrace.toml").write_text(text.replace('"22:00"', '"21:00"'))
    assert "PT.txt:2" in server.cli("plan", expect=1).stderr
    listed.write_text("2030-12-25\n")
    wait_for("that it has ended", lambda: "ends on 2030-12-25" in waits())
    assert len(runs(server)) == 1
    listed.write_text("2031-12-25 Natal\n2031-07-08 today\n")
    wait_for("the run on a holiday", lambda: len(runs(server)) == 2)
    server.wait_versions("small", 2)
