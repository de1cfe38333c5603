"""``driftflow evaluate`` on a small stream: a page that stands alone, plots beside it, and sentences when it cannot."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from flowlib.evaluation import Estimate, evaluate
from flowlib.leaning import Lean
from stream_app.cli import main
from stream_app.config import load
from stream_app.disk import writing
from stream_app.errors import DriftflowError
from stream_app.offline.evaluate.page import leans, verdict
from stream_app.offline.evaluate.rows import baselines as fit_baselines
from stream_app.offline.evaluate.run import run_evaluate
from tests.conftest import need
from tests.flowlib.conftest import draw, fit

CONFIG = """
stream = "shop"
[topics]
events = "shop.orders"
partitions = 1
[event]
time_field = "at"
numeric = ["amount", "items", "weight"]
categorical = ["paid"]
slicings = [["shop"]]
[windows]
pane = "1h"
spans = ["1d"]
[model]
max_steps = 60
[trainer]
min_rows = 200
max_alarm_ratio = 50.0
"""
START = datetime(2026, 1, 1, tzinfo=UTC)


def write(folder: Path, hours: int = 60 * 24) -> Path:
    """A stream of an event an hour and shop; its weights grow after day 45."""
    g = np.random.default_rng(7)
    lines = ["at,shop,amount,items,weight,paid"]
    for hour in range(hours):
        for shop in ("<north>", "south"):
            items = int(g.integers(1, 9))
            amount, weight = (
                items * np.exp(0.3 * g.standard_normal()),
                items + g.standard_normal() + 6 * (hour > 45 * 24),
            )
            stamp = (START + timedelta(hours=hour)).isoformat()
            lines.append(f"{stamp},{shop},{amount:.4f},{items},{'' if g.random() < 0.05 else f'{weight:.4f}'},card")
    (folder / "driftflow.toml").write_text(CONFIG)
    path = folder / "orders.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run, and what it printed."""
    folder = tmp_path_factory.mktemp("evaluate")
    run = CliRunner().invoke(
        main,
        [
            "evaluate",
            str(write(folder)),
            "-c",
            str(folder / "driftflow.toml"),
            "--bootstrap-until",
            "2026-02-14",
            "--out",
            str(folder / "report.html"),
            "--png",
            str(folder / "png"),
        ],
    )
    assert run.exit_code == 0, run.output
    return folder, run.output


class Tags(HTMLParser):
    """Collects tags and attributes, and holds that what opens is closed."""

    void = frozenset(("meta", "link", "br", "img", "path", "use"))

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_the_page_stands_alone(made: tuple[Path, str]) -> None:
    text = (made[0] / "report.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags.seen}
    fetched = [
        value for _, attrs in tags.seen for name, value in attrs.items() if name in ("src", "href", "xlink:href")
    ]
    assert all(value and value.startswith("#") for value in fetched)
    assert "url(http" not in text
    assert "<north>" not in text
    assert "&lt;north&gt;" in text


def test_the_page_says_it_in_words_and_figures(made: tuple[Path, str]) -> None:
    folder, printed = made
    text = (folder / "report.html").read_text()
    for heading in (
        "Likelihood",
        "Calibration",
        "Month by month",
        "Each column",
        "Samples over events",
        "Slices",
        "Who is called strange more often",
        "Columns",
    ):
        assert heading in text
    assert "a Gaussian mixture" in text
    assert "PIT off flat" in text
    assert 3 < float(re.findall(r"<td>weight</td><td>[\d.]+</td><td>([\d.]+)%", text)[0]) < 7
    assert "Its samples" in " ".join(printed.split())
    assert not re.search(r"\bnan\b", text)


def test_drift_after_training_shows_in_its_month(made: tuple[Path, str]) -> None:
    text = (made[0] / "report.html").read_text()
    after = re.search(r"<td>2026-02 \(after\)</td><td>[\d,]+</td><td>[-\d.]+</td><td>([\d.]+)%", text)
    before = re.search(r"<td>2026-02</td><td>[\d,]+</td><td>[-\d.]+</td><td>([\d.]+)%", text)
    assert after is not None
    assert before is not None
    assert float(after[1]) > 3 * float(before[1])


def test_plots_lie_beside_as_png(made: tuple[Path, str]) -> None:
    pictures = sorted((made[0] / "png").glob("*.png"))
    kinds = {picture.name.split("-")[0] for picture in pictures}
    assert kinds == {"calibration", "slices", "months", "pit", "pairs", "marginals"}
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_values_of_sensitive_columns_are_in_no_plot(made: tuple[Path, str]) -> None:
    folder, out = made[0], made[0] / "discreet"
    config = folder / "discreet.toml"
    config.write_text(CONFIG.replace("[event]", '[event]\nsensitive = ["weight"]'))
    command = ["evaluate", str(folder / "orders.csv"), "-c", str(config), "--out", str(folder / "discreet.html")]
    run = CliRunner().invoke(main, [*command, "--png", str(out)])
    assert run.exit_code == 0, run.output
    kinds = [picture.name.split("-")[0] for picture in out.glob("*.png")]
    assert (kinds.count("marginals"), kinds.count("pairs"), kinds.count("pit")) == (2, 1, 3)


def test_an_attack_is_told_on_the_page_in_a_plot_and_as_json(made: tuple[Path, str]) -> None:
    folder = made[0]
    command = ["evaluate", str(folder / "orders.csv"), "-c", str(folder / "driftflow.toml"), "--json", "--attack"]
    files = ["--out", str(folder / "attack.html"), "--png", str(folder / "attack")]
    run = CliRunner().invoke(main, [*command, "--attack-features", "amount", *files])
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert {"stream", "model", "log_prob", "alarms", "attack"} <= told.keys()
    assert {(part["grouping"], part["name"]) for part in told["fairness"]} == {("shop", "<north>"), ("shop", "south")}
    assert {slip["budget"] for slip in told["attack"]} == {0.5}
    assert all(slip["transferred"] for slip in told["attack"])
    assert all(slip["before"]["value"] <= slip["after"]["value"] for slip in told["attack"])
    text = (folder / "attack.html").read_text()
    assert "Events that are made to look ordinary" in text
    assert "may move the values of amount by 0.5 standard deviations" in text
    assert (folder / "attack" / "attack-00.png").read_bytes().startswith(b"\x89PNG")


def test_names_with_dollars_are_no_formulas() -> None:
    plots = need("stream_app.offline.evaluate.plots")
    values = np.random.default_rng(1).standard_normal((50, 2))
    for figure in (
        plots.pair(values, values, ["price_$", "cost_$"]),
        plots.marginal(values[:, 0], values[:, 0], "$x^$"),
    ):
        assert plots.png(figure).startswith(b"\x89PNG")
        assert "$</text>" in plots.svg(figure)


def test_the_same_run_writes_the_same_bytes(made: tuple[Path, str]) -> None:
    folder = made[0]
    config = load(str(folder / "driftflow.toml"))
    from rich.console import Console

    found = run_evaluate(config, folder / "orders.csv", folder / "again.html", Console(stderr=True))
    shown = found._repr_html_()
    assert shown.count("<table>") == 2
    assert "Its samples" in shown
    assert (folder / "again.html").read_bytes() == (folder / "report.html").read_bytes()


def test_a_baseline_that_cannot_be_fitted_is_left_out_in_words() -> None:
    density, train, judged = fit(max_steps=20), draw(600, 5), draw(300, 6)
    gaps = train.numeric.copy()
    gaps[:, 2] = np.nan
    baselines, left_out = fit_baselines(density, train.with_numeric(gaps), judged)
    found = evaluate(density, judged, np.arange(300) // 30, baselines=baselines, left_out=left_out)
    assert list(found.over) == ["a Gaussian mixture"]
    said = " ".join(verdict(found))
    assert "There are no figures against one Gaussian: every training row has a gap" in said
    assert "nan" not in said


@pytest.mark.parametrize(
    ("gain", "first"),
    [
        (
            Estimate(0.07, -1.15, 1.28),
            "It is no better than a Gaussian mixture, as far as these days can tell: +0.07 nats",
        ),
        (Estimate(-0.43, -0.6, -0.2), "It is worse than a Gaussian mixture: it loses 0.43 nats an event"),
    ],
)
def test_a_model_that_is_no_better_than_a_mixture_says_so_first(gain: Estimate, first: str) -> None:
    density, judged = fit(max_steps=20), draw(300, 6)
    found = evaluate(density, judged, np.arange(300) // 30)
    assert verdict(replace(found, over={"a Gaussian mixture": gain}))[0].startswith(first)
    better = verdict(replace(found, over={"a Gaussian mixture": Estimate(0.5, 0.1, 0.9)}))
    assert better[0].startswith("It calls")


def test_columns_that_lean_are_said_at_the_top() -> None:
    found = [
        Lean("TEMP", "lower", 5.0, True),
        Lean("SO2", "further out", 2.1, False),
        Lean("PRES", "lower", 3.0, False),
    ]
    said = leans(found)
    assert "TEMP (5.0 ×) and PRES (3.0 ×) lie lower than it expects, SO2 (2.1 ×) lies further out" in said
    assert said.endswith("Beyond these days that is sure of TEMP.")
    assert leans(found[1:]).endswith("Beyond these days none of it is sure.")
    assert leans([]) == "No column leans: values lie where it expects them."


def test_a_month_in_which_training_ends_has_one_label_and_two_points() -> None:
    plots = need("stream_app.offline.evaluate.plots")
    names = ["2013-12", "2014-01", "2014-02", "2014-02", "2014-03"]
    (axes,) = plots.months(names, [Estimate(0.01, 0.0, 0.02)] * 5, 3).axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["Dec\n2013", "Jan\n2014", "Feb", "Mar"]
    points = axes.lines[-1].get_xdata() if len(axes.lines[-1].get_xdata()) == 5 else axes.lines[1].get_xdata()
    assert len(set(points)) == 5, "beside each other"


def test_without_a_model_it_says_what_to_do(tmp_path: Path) -> None:
    run = CliRunner().invoke(main, ["evaluate", str(write(tmp_path, 48)), "-c", str(tmp_path / "driftflow.toml")])
    assert run.exit_code == 1
    assert "--bootstrap-until" in " ".join(run.output.split())


@pytest.mark.parametrize("words", [["evaluate", "--out"], ["score", "--signals"]])
def test_where_nothing_can_be_written_it_says_so_before_the_work(words: list[str], tmp_path: Path) -> None:
    command, option = words
    run = CliRunner().invoke(
        main,
        [
            command,
            str(write(tmp_path, 48)),
            "-c",
            str(tmp_path / "driftflow.toml"),
            "--bootstrap-until",
            "2026-02-14",
            option,
            str(tmp_path / "no" / "such" / "file"),
        ],
    )
    assert run.exit_code == 1
    assert "there is no folder" in " ".join(run.output.split())
    assert "training" not in run.output


def test_what_the_system_says_while_writing_becomes_a_sentence() -> None:
    with pytest.raises(DriftflowError, match="cannot be written, no space left on device"), writing(Path("a.html")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_without_unseen_events_is_refused(made: tuple[Path, str], tmp_path: Path) -> None:
    few = tmp_path / "few.csv"
    few.write_text("\n".join((made[0] / "orders.csv").read_text().splitlines()[:20]) + "\n")
    run = CliRunner().invoke(main, ["evaluate", str(few), "-c", str(made[0] / "driftflow.toml")])
    assert run.exit_code == 1
    assert "has not seen; 100 are needed" in " ".join(run.output.split())


def test_without_matplotlib_it_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\nfrom stream_app.cli import main\n"
        f"main(['evaluate', {str(write(tmp_path, 48))!r}, '-c', {str(tmp_path / 'driftflow.toml')!r}])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 1
    assert "pip install 'driftflow[report]'" in " ".join(run.stderr.split())
