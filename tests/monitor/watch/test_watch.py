"""The live view: one look at the files, its time left, its terminal and its page."""

import http.client
import io
import json
import threading
import time
from contextlib import closing

import pytest
from browser import Browser
from rich.console import Console
from studies import tiny_study, write_study

from kd.cli.main import main
from kd.monitor.estimate import run_flops
from kd.monitor.watch import terminal
from kd.monitor.watch.curves import curve
from kd.monitor.watch.look import looker
from kd.monitor.watch.terminal import view
from kd.monitor.watch.web import file_below, server
from kd.monitor.watch.words import duration, left_text, speed_text
from kd.runtime.errors import UserError
from kd.runtime.files import write_json
from kd.runtime.state import this_process, write_state
from kd.study.grid import load_grid
from kd.study.paths import Layout, benchmark_file, log_file

HISTORY = [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 1.5}, {"step": 40, "loss": 1.25}]
COUNT = {"done": 40, "total": 100, "per_second": 2.0}


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """Four runs: one done in 30 s, one at step 40 of 100, one failed, one missing."""
    monkeypatch.chdir(tmp_path)
    grid = load_grid(write_study(tmp_path, tiny_study()))
    done, running, failed, _ = grid.runs.values()
    layout = Layout("results")
    write_json(layout.teacher(done.teacher) / "metrics.json", {"train_seconds": 10})
    write_json(layout.run(done) / "training.json", {})
    finish(layout, done, 0.75)
    benchmark = benchmark_file(layout.run(done), "distil")
    benchmark.parent.mkdir()
    benchmark.write_text("s\th:m:s\n36.0\t0:00:36\n")
    here = {"state": "running", **this_process()}
    more = {"step": "distil", "phase": "distilling", "history": HISTORY}
    write_state(layout.run(running), **more, **COUNT, **here)
    log = log_file(layout.run(running), "distil")
    log.parent.mkdir()
    log.write_text("distilling: 40/100 <loss> 1.25\n")
    write_state(layout.run(failed), state="failed", step="distil", error="<b>out of milk</b>")
    return grid


def finish(layout, run, score):
    record = {"run": run.id, "score": score, "train_seconds": 30.0, "evaluate_seconds": 4.0}
    write_json(layout.run(run) / "metrics.json", record)


def look_at(grid):
    return looker(grid, Layout("results"))()


def test_one_look_has_jobs_scores_and_what_is_at_work(grid):
    found = look_at(grid)
    assert found["jobs"]["distil"] == {"done": 1, "running": 1, "total": 4}
    assert found["jobs"]["evaluate"] == {"done": 1, "running": 0, "total": 4}
    assert found["jobs"]["teacher"] == {"done": 1, "running": 0, "total": 1}
    (row,) = found["at_work"]
    assert (row["step"], row["done"], row["history"][-1]["loss"]) == ("distil", 40, 1.25)
    assert [r["run"] for r in found["latest"]] == [next(iter(grid.runs))]
    scores = found["scores"]
    assert (scores["columns"], scores["tasks"]) == (["mapping"], ["toy-single"])
    assert scores["rows"][0]["scores"] == [{"mean": 0.75, "done": 1, "planned": 2}]
    assert scores["rows"][1]["scores"] == [{"mean": None, "done": 0, "planned": 2}]


def test_a_later_look_has_what_was_finished_since(grid):
    look, layout = looker(grid, Layout("results")), Layout("results")
    assert look()["done"] == 1
    running = list(grid.runs.values())[1]
    (layout.run(running) / "state.json").unlink()
    finish(layout, running, 0.25)
    found = look()
    assert found["done"] == 2 and not found["at_work"]
    assert found["scores"]["rows"][0]["scores"] == [{"mean": 0.5, "done": 2, "planned": 2}]
    assert found["left"]["at_once"] == 1, "the job of a moment ago: the next one is starting"


def test_steps_that_only_trained_runs_have_read_count_as_done(grid):
    """`kd free` may have removed their results."""
    layout = Layout("results")
    for run in grid.runs.values():
        write_json(layout.run(run) / "training.json", {})
    (layout.teacher(run.teacher) / "metrics.json").unlink()
    assert look_at(grid)["jobs"]["teacher"]["done"] == 1


def test_the_time_left_comes_from_measured_speeds(grid):
    """The running one has 60 steps left at 2 a second. Each of the others takes as long as the one
    that is done: 2 s to start, 30 s for as many operations, 4 s for the evaluation in the same
    job, and 0.3 s for the job that takes it."""
    runs = list(grid.runs.values())
    assert len({run_flops(run) for run in runs}) == 1
    left = look_at(grid)["left"]
    assert left["at_once"] == 1
    assert left["seconds"] == pytest.approx((30 + 4.3) + 2 * (2 + 30 + 4.3))
    layout = Layout("results")
    state = layout.run(runs[1]) / "state.json"
    training = json.loads(state.read_text())
    write_json(state, {**training, "phase": "evaluating", "total": 41, "per_second": 0.25})
    left = look_at(grid)["left"]  # in the process of the training: 1 of 41 batches is left
    assert left["seconds"] == pytest.approx(4 + 2 * (2 + 30 + 4.3))
    write_json(state, training)
    for file in ("metrics.json", "training.json"):
        (layout.run(runs[0]) / file).unlink()
    # Nothing is done: 100 steps take 50 s, and starting and evaluating 10 s each, by assumption.
    assert look_at(grid)["left"]["seconds"] == pytest.approx((30 + 10) + 3 * (50 + 20))
    (layout.run(runs[1]) / "state.json").unlink()
    found = look_at(grid)
    assert found["left"]["device_seconds"] > 0, "from the teacher, which is done"
    assert "Nothing is running" in left_text(found)
    (layout.teacher(runs[0].teacher) / "metrics.json").unlink()
    assert look_at(grid)["left"] is None


def text_of(found, height, width=140):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(view(found, height, width))
    return console.file.getvalue()


def test_the_terminal_shows_what_matters_within_its_height(grid):
    found = look_at(grid)
    whole = text_of(found, 60)
    running = found["at_work"][0]["name"]
    assert "1 done, 1 running, 1 failed, 1 missing" in whole and "<b>out of milk</b>" in whole
    for text in ("40 / 100", "2 steps/s", "1.25", "30 s", running, "By axis", "Finished last"):
        assert text in whole, text
    narrow = text_of(found, 60, width=80)
    assert "40 / 100" in narrow and "30 s" in narrow and running[-8:] in narrow
    small = text_of(found, 14)
    assert len(small.splitlines()) <= 14 and "40 / 100" in small and "By axis" not in small
    found["at_work"] *= 30
    many = text_of(found, 30)
    assert len(many.splitlines()) <= 30 and "At work: 30, the first" in many


def test_the_terminal_ends_when_all_runs_are_done(grid, monkeypatch):
    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(terminal, "Console", lambda **_: screen)
    first = look_at(grid)
    looks = iter([first, first | {"done": first["runs"]}])
    slept = []
    terminal.watch(lambda: next(looks), 3.0, slept.append)
    assert slept == [3.0] and next(looks, None) is None


def test_watch_without_a_terminal_prints_one_view(grid, capsys):
    assert main(["watch", str(grid.study.path)]) == 0
    assert "40 / 100" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["watch", str(grid.study.path), "--every", "0"])
    assert "allowed: 0.5 to 3600" in capsys.readouterr().err
    for option, value, allowed in (
        ("--port", "99999", "0 to 65535"),
        ("--every", "soon", "0.5 to 3600 seconds"),
    ):
        with pytest.raises(SystemExit):
            main(["watch", str(grid.study.path), option, value])
        assert f"found {value}, allowed: {allowed}" in capsys.readouterr().err


@pytest.fixture
def ask(grid, monkeypatch):
    """A function that asks the page's server: (status, text)."""
    waiting = [{"reason": "Resources", "jobs": 2, "advice": ""}]
    monkeypatch.setattr("kd.monitor.watch.look.waiting", lambda here: waiting)
    with server(looker(grid, Layout("results")), Layout("results").results, 5.0, port=0) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()

        def ask(path, method="GET", host=None):
            connection = http.client.HTTPConnection("127.0.0.1", found.server_port, timeout=20)
            connection.putrequest(method, path, skip_host=True)
            connection.putheader("Host", host or f"127.0.0.1:{found.server_port}")
            connection.endheaders()
            answer = connection.getresponse()
            text = answer.read().decode()
            ask.policy = answer.getheader("Content-Security-Policy")
            connection.close()
            return answer.status, text

        assert found.server_address[0] == "127.0.0.1"
        yield ask
        found.shutdown()


def test_the_page_has_the_same_and_curves_and_scores(grid, ask):
    status, page = ask("/")
    running = list(grid.runs)[1]
    assert "<p>2 jobs wait in the queue of SLURM (Resources).</p>" in page
    assert status == 200 and "<polyline" in page and "setTimeout(refresh, 5000)" in page
    for text in ("40 / 100", "2 steps/s", "75.0", "(1/2)", "&lt;b&gt;out of milk&lt;/b&gt;"):
        assert text in page, text
    assert "http:" not in page and "https:" not in page
    assert ask("/view")[1] in page
    assert json.loads(ask("/status.json")[1])["at_work"][0]["name"] == running
    log = f"/results/runs/{running}/log/distil.log"
    assert f'href="{log}"' in page
    assert ask(log) == (200, "distilling: 40/100 <loss> 1.25\n")
    assert ask("/", "HEAD") == (200, "")


def test_the_page_is_read_only_and_serves_nothing_outside_results(grid, ask, tmp_path):
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "results/.hidden.json").write_text("{}")
    (tmp_path / "results/weights.safetensors").write_text("")
    (tmp_path / "results/link.json").symlink_to(tmp_path / "secret.json")
    refused = [
        "/results/../secret.json",
        "/results/%2e%2e/secret.json",
        "/secret.json",
        "/results/",
    ]
    refused += ["/results/link.json", "/results/.hidden.json", "/results/weights.safetensors"]
    for path in [*refused, "/results//../secret.json", "/results/a%00.json", "//etc/passwd"]:
        assert ask(path)[0] == 404, path
    for method in ("POST", "PUT", "DELETE"):
        assert ask("/", method)[0] == 501
    assert ask("/", host="example.org:80")[0] == 403
    assert ask("/", host="127.0.0.1")[0] == 200, "clients leave out port 80"
    assert file_below(tmp_path / "results", "/results/runs") is None


def test_the_charts_of_a_report_are_drawn_from_here_too(grid, ask, tmp_path):
    """Vega makes functions of text. The page itself needs none, and allows none."""
    (tmp_path / "results/report.html").write_text("<p>a report")
    assert ask("/results/report.html")[0] == 200 and "'unsafe-eval'" in ask.policy
    assert ask("/")[0] == 200 and "script-src 'unsafe-inline';" in ask.policy


@pytest.mark.browser
def test_the_page_refreshes_itself_and_says_when_it_is_old(grid):
    layout = Layout("results")
    missing = list(grid.runs.values())[3]
    with closing(Browser()) as page:
        with server(looker(grid, layout), layout.results, 0.5, port=0) as found:
            threading.Thread(target=found.serve_forever, daemon=True).start()
            page.send("Page.navigate", url=f"http://127.0.0.1:{found.server_port}/")
            text = "document.querySelector('main')?.textContent ?? ''"
            until(lambda: "1 done" in page.run(text))
            finish(layout, missing, 0.5)
            until(lambda: "2 done" in page.run(text))
            assert page.run("document.title") == "2/4 test"
            assert page.run("document.querySelectorAll('svg polyline').length") == 1
            assert not [
                text for text in page.problems if not text.startswith("asks for http://127")
            ]
            found.shutdown()
        until(lambda: page.run("!document.querySelector('#stale').hidden"))


def until(true, seconds=60):
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.2)


def test_a_port_that_is_taken_is_one_sentence(grid):
    look, results = looker(grid, Layout("results")), Layout("results").results
    with server(look, results, 5.0, port=0) as other, pytest.raises(UserError, match="in use"):
        server(look, results, 5.0, port=other.server_port)


def test_curves_durations_and_speeds():
    row = {"name": "a<b", "history": HISTORY, "total": 100}
    drawn = curve(row)
    assert 'points="' in drawn and "1.25 at step 40 of 100" in drawn and "a&lt;b" in drawn
    assert not curve(row | {"history": HISTORY[:1]})
    assert curve(row | {"history": [*HISTORY, {"step": 50, "loss": float("nan")}]}) == drawn
    told = [duration(s) for s in (5, 89, 600, 7260, 180_000)]
    assert told == ["5 s", "89 s", "10 min", "2 h 1 min", "2 d 2 h"]
    assert speed_text({"per_second": 0.1}) == "10 s/step" and not speed_text({"per_second": 0})
