import math
from pathlib import Path

import pandas as pd
import pytest

from pipeline.contracts.errors import BundleError, EvergreenError
from pipeline.contracts.verdicts import Evidence, Verdict, as_warnings
from pipeline.presentation.pages import Page, new_figure


def test_a_return_must_say_where_and_how() -> None:
    with pytest.raises(ValueError, match="target_phase and action"):
        Verdict(phase="testing", status="return", cause="worse than counting")


def test_a_verdict_with_failing_evidence_that_gates_cannot_proceed() -> None:
    narrow = Evidence(name="coverage@10", value=0.01, bound=0.05, holds=False)
    with pytest.raises(ValueError, match=r"got coverage@10"):
        Verdict(phase="testing", status="proceed", cause="as planned", evidence=(narrow,))
    warned = Verdict(
        phase="testing", status="proceed", cause="as planned", evidence=as_warnings([narrow])
    )
    assert [item.name for item in warned.warnings] == ["coverage@10"]
    assert warned.status_in_words == "proceed, with warnings"


def test_a_page_shows_a_warning_in_amber_and_a_failure_in_red(tmp_path: Path) -> None:
    reached = Evidence(name="recall@10", value=0.15, bound=0.14, holds=True)
    warns = Evidence(name="underfit", value=0.0129, bound=0.01, holds=False, gates=False)
    fails = Evidence(name="coverage@10", value=0.01, bound=0.05, holds=False)
    warned = Verdict(phase="testing", status="proceed", cause="Good", evidence=(reached, warns))
    stopped = Verdict(phase="testing", status="stop", cause="Bad", evidence=(fails, warns))
    texts = []
    for verdict in (warned, stopped):
        page = Page("Testing", "Is it good?")
        page.verdict(verdict)
        page.write(tmp_path / "index.html")
        texts.append((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "<span class='badge warned'>proceed, with warnings</span>" in texts[0]
    assert "<span class='warns'>! no, a warning</span>" in texts[0]
    assert "class='no'" not in texts[0]
    assert "<span class='badge stop'>" in texts[1]
    assert "<span class='no'>✗ no</span>" in texts[1]
    assert ".warned { background: var(--warn); }" in texts[0]


def test_only_evidence_that_gates_can_fail_a_phase_the_rest_warns() -> None:
    measured = (
        Evidence(name="recall@10", value=0.15, bound=0.14, holds=True),
        Evidence(name="coverage@10", value=0.01, bound=0.05, holds=False),
        Evidence(name="label_noise", value=None, holds=False, gates=False),
    )
    verdict = Verdict(
        phase="testing",
        status="return",
        cause="too few products",
        evidence=measured,
        target_phase="training",
        action="Widen the lists.",
    )
    assert [item.name for item in verdict.failing] == ["coverage@10"]
    assert [item.name for item in verdict.warnings] == ["label_noise"]


def test_a_message_says_what_was_wanted_what_came_and_what_to_do() -> None:
    error = BundleError("a hash", received="another", action="Pull again.")
    assert str(error) == "Expected a hash, got another. Pull again."
    assert isinstance(error, EvergreenError)


def write_page(path: Path) -> str:
    page = Page("Testing <x>", "Is it better?")
    evidence = (Evidence(name="recall@10", value=0.15, bound=0.14, holds=True),)
    page.verdict(
        Verdict(
            phase="testing",
            status="return",
            cause="Not enough",
            evidence=evidence,
            target_phase="training",
            action="Train longer",
        )
    )
    page.table("Numbers", pd.DataFrame({"n": [12345], "share": [0.25], "ok": [False]}), "all")
    page.facts("Facts", {"none": None, "nan": math.nan})
    page.text("Why", "a & b")
    figure = new_figure()
    figure.subplots().plot([1, 2], [3, 4])
    page.figure("Curve", figure, "one line")
    page.write(path)
    return path.read_text(encoding="utf-8")


def test_a_page_is_whole_and_fetches_nothing(tmp_path: Path) -> None:
    text = write_page(tmp_path / "index.html")
    assert "<script" not in text
    assert "http" not in text.replace("http://www.w3.org/", "")
    for part in ("Testing &lt;x&gt;", "12,345", "✗ no", "✓ yes", "a &amp; b", "<svg", "–"):
        assert part in text


def test_the_same_page_has_the_same_bytes(tmp_path: Path) -> None:
    assert write_page(tmp_path / "a.html") == write_page(tmp_path / "b.html")
