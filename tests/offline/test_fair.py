"""How a report says who is called strange more often than others."""

from __future__ import annotations

from dataclasses import replace

from flowlib.fairness import Part, said
from stream_app.offline.evaluate.fair import fairness_part
from stream_app.reporting.page import page

NORTH = Part(
    "shop", "<north>", 500, 50, 0.1, (0.08, 0.13), 0.01, 0.09, (0.06, 0.12), 10.0, 45.0, -2.0, (-2.5, -1.5), "over"
)
SOUTH = replace(NORTH, name="south", judged="alike", excess=-1.0, log_prob=None, log_prob_95=None, others=None)


def test_it_names_those_that_surely_differ() -> None:
    (sentence,) = said([SOUTH, NORTH])
    assert sentence.startswith("shop, <north>: 10.00% of 500 events are called strange")
    assert "10.0 times as many: 45 alarms beyond their share." in sentence
    assert said([SOUTH]) == [
        "No slice or group of slices is surely called strange more often, or less, than all others."
    ]
    many = said([replace(NORTH, name=str(i), excess=float(i)) for i in range(9)])
    assert many[0].startswith("shop, 8:")
    assert many[-1] == "4 more are in the table."


def test_the_section_shows_all_of_them() -> None:
    html = page("", [fairness_part([NORTH, SOUTH])])
    assert "&lt;north&gt;" in html
    assert "<north>" not in html
    assert "<td>over</td>" in html
    assert "<td>–</td>" in html
    assert "All are one slice." in page("", [fairness_part([])])
