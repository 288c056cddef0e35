from pathlib import Path

import pytest

from benchmarks.lifecycle import readme
from pipeline.contracts import artefacts
from pipeline.contracts.phases import PHASES
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.runtime import gates

REACHED = Evidence(name="recall@10", value=0.15, bound=0.14, holds=True)
UNDERFIT = Evidence(name="underfit", value=0.0129, bound=0.01, holds=False, gates=False)
NARROW = Evidence(name="coverage@10", value=None, bound=0.05, holds=False)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "PROJECT", tmp_path)
    monkeypatch.chdir(tmp_path)
    for phase in PHASES:
        artefacts.write_verdict(
            Verdict(phase=phase, status="proceed", cause="Good", evidence=(REACHED,))
        )


def colours() -> list[str]:
    picture = readme.circle()
    return [c for c in (readme.GREEN, readme.AMBER, readme.RED) if f'fill="{c}"' in picture]


def test_the_circle_is_green_where_all_is_well() -> None:
    assert colours() == [readme.GREEN]


def test_a_warning_is_amber_in_the_circle_and_named() -> None:
    artefacts.write_verdict(
        Verdict(phase="testing", status="proceed", cause="Good", evidence=(REACHED, UNDERFIT))
    )
    assert colours() == [readme.GREEN, readme.AMBER]
    assert "underfit 0.0129" in readme.circle()


def test_a_stop_is_red_in_the_circle_and_amber_when_it_is_accepted() -> None:
    artefacts.write_verdict(
        Verdict(phase="deployment", status="stop", cause="Bad", evidence=(REACHED, NARROW))
    )
    assert colours() == [readme.GREEN, readme.RED]
    assert "coverage@10 does not hold" in readme.circle()
    gates.accept("deployment", "A first trial")
    assert colours() == [readme.GREEN, readme.AMBER]
