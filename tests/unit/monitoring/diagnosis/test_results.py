"""The id map that a diagnosis proposes is one that the source reads."""

from pathlib import Path

import pytest

from pipeline.monitoring.diagnosis.diagnose import diagnose
from pipeline.monitoring.diagnosis.results import summarise, write_proposals
from pipeline.sources.id_maps import read_id_map
from tests.support.diagnosed_faults import rename, scale_prices
from tests.support.diagnosed_shop import NAMES, change_events, make_case


def test_a_proposed_map_of_ids_is_read_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {name: f"00{number}" for number, name in enumerate(NAMES[:60], start=100)}
    diagnosis = diagnose(rename(make_case(), "item_id", names))
    (cause,) = diagnosis.causes
    (step,) = cause.suspicion.steps
    assert step.kind == "edit_params"
    write_proposals(diagnosis)
    pairs = read_id_map(Path(step.files[0].source)).to_pydict()
    assert dict(zip(pairs["old"], pairs["new"], strict=True)) == cause.suspicion.renames
    assert all(old.startswith("00") for old in pairs["old"])


def test_a_diagnosis_without_a_map_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_proposals(diagnose(scale_prices(make_case(), 100)))
    assert list(tmp_path.iterdir()) == []


def test_the_summary_shows_every_statistic_and_what_undoing_leaves() -> None:
    summary = summarise(diagnose(scale_prices(make_case(), 100)), {})
    assert summary["unit_change"].keys() == {"value", "bound", "after_undoing"}
    assert summary["unit_change"]["after_undoing"] < summary["unit_change"]["bound"]
    assert summary["clock_shift"].keys() == {"value", "bound"}
    sound = summarise(diagnose(change_events(make_case(), lambda now: now)), {})
    assert all("after_undoing" not in row for row in sound.values())
