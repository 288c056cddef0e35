"""What reviewers wrote is read strictly and settles only what it speaks of."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.contracts.errors import ArtefactError, DataQualityError
from pipeline.labeling.audit.label_audit import count_reviews
from pipeline.labeling.audit.reviews import (
    HEADER,
    lines_matching,
    match_decisions,
    read_decisions,
    select_undecided,
    select_without_effect,
)
from pipeline.labeling.outcome import LabelingTables, label_and_audit
from tests.support.weekly_shop import events, items, labeling, labelled, offers, shop

ROW = "rolling:ann:ann-01-30,ann-01-30,salt,bulk,"


def reviewed(folder: Path, *lines: str) -> pd.DataFrame:
    path = folder / "labels.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_decisions(path)


def test_a_header_alone_is_no_decision(tmp_path: Path) -> None:
    assert len(reviewed(tmp_path, HEADER)) == 0


def test_rows_that_are_not_decided_yet_are_left_out(tmp_path: Path) -> None:
    assert len(reviewed(tmp_path, HEADER, ROW, ROW + "keep", ROW + "keep")) == 1


def test_further_columns_are_left_alone(tmp_path: Path) -> None:
    result = reviewed(tmp_path, f"annotator,{HEADER}", f"eve,{ROW}drop")
    assert result["decision"].tolist() == ["drop"]


def test_a_missing_file_is_an_error_that_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="git checkout"):
        read_decisions(tmp_path / "labels.csv")


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").touch()
    with pytest.raises(ArtefactError, match="header line"):
        read_decisions(tmp_path / "labels.csv")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataQualityError, match=r"missing: example_id, item_id"):
        reviewed(tmp_path, "basket_id,reason,decision")


@pytest.mark.parametrize("row", [ROW + "maybe", ",ann-01-30,salt,bulk,drop"])
def test_an_unknown_decision_or_example_is_named_with_its_line(tmp_path: Path, row: str) -> None:
    with pytest.raises(DataQualityError, match="line 3"):
        reviewed(tmp_path, HEADER, ROW + "keep", row)


def test_keep_and_drop_of_the_same_label_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataQualityError, match="both keep and drop"):
        reviewed(tmp_path, HEADER, ROW + "keep", ROW + "drop")


def decisions(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    columns = ["example_id", "basket_id", "item_id", "reason"]
    return pd.DataFrame(rows, columns=columns).assign(decision="drop").astype("str")


def test_a_decision_finds_its_basket_by_either_protocol() -> None:
    source = labelled(events()).source
    rows = decisions(
        ("rolling:ann:ann-01-30", "ann-01-30", "salt", "bulk"),
        ("first_basket:bob:bob-01-30", "bob-01-30", "", "bulk"),
        ("rolling:bob:ann-01-30", "ann-01-30", "", "bulk"),
    )
    resolved = match_decisions(rows, source)
    assert resolved["basket"].tolist() == [4, 11, -1]  # seven baskets each, the fifth of each
    marked = source.lines[lines_matching(resolved, source)]
    assert marked[["user_id", "item_id"]].to_numpy().tolist() == [
        ["ann", "salt"],
        ["bob", "bread"],
        ["bob", "salt"],
    ]


def test_no_decision_marks_nothing() -> None:
    source = labelled(events()).source
    assert not lines_matching(match_decisions(decisions(), source), source).any()


def test_a_decided_issue_is_not_queued_again() -> None:
    issues = pd.DataFrame(
        {"basket": [4, 4], "item_id": ["", ""], "reason": ["bulk", "duplicate"], "evidence": ""}
    )
    resolved = match_decisions(
        decisions(("rolling:ann:ann-01-30", "ann-01-30", "", "bulk")), labelled(events()).source
    )
    assert select_undecided(issues, resolved)["reason"].tolist() == ["duplicate"]


def test_a_decision_about_a_measuring_window_speaks_of_no_basket() -> None:
    """The windows open on 15 January: two of training, validation, test and production."""
    days = {
        "01-09": "", "01-16": "train", "01-23": "train", "01-30": "validation",
        "02-06": "test", "02-13": "production",
    }  # fmt: skip
    rows = [(f"rolling:ann:ann-{day}", f"ann-{day}", "bread", "bulk") for day in days]
    source = labelled(events()).source
    resolved = match_decisions(decisions(*rows, ("rolling:ann:none", "none", "", "bulk")), source)
    assert resolved["split"].tolist() == [*days.values(), ""]
    assert resolved["basket"].tolist() == [1, 2, 3, 4, -1, -1, -1]  # ann's seven come first
    assert select_without_effect(resolved)["basket_id"].tolist() == ["ann-02-06", "ann-02-13"]
    counts = count_reviews(resolved, lines_matching(resolved, source))
    assert (counts.n_unmatched, counts.n_without_effect) == (1, 2)
    assert counts.n_lines_dropped == 4


@pytest.mark.parametrize("protocol", ["rolling", "first_basket"])
@pytest.mark.parametrize("item", ["bread", ""])
@pytest.mark.parametrize("day", ["02-06", "02-13"])
def test_no_decision_changes_a_label_that_a_model_is_measured_on(
    day: str, item: str, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A person drops, and one keeps, labels of the test and of the production window."""
    tables = LabelingTables(events(), items(), offers())
    plain = label_and_audit(tables, decisions(), labeling(), shop())
    rows = decisions((f"{protocol}:ann:ann-{day}", f"ann-{day}", item, "bulk"))
    for decision in ("drop", "keep"):
        caplog.clear()
        after = label_and_audit(tables, rows.assign(decision=decision), labeling(), shop())
        assert after.table.equals(plain.table)
        assert after.audit.reviews.n_without_effect == 1
        assert after.audit.reviews.n_lines_dropped == 0
        assert after.audit.labels == plain.audit.labels
        assert f"The first is about basket ann-{day}" in caplog.text


def test_the_same_decision_about_validation_does_change_its_labels() -> None:
    tables = LabelingTables(events(), items(), offers())
    plain = label_and_audit(tables, decisions(), labeling(), shop())
    rows = decisions(("rolling:ann:ann-01-30", "ann-01-30", "bread", "bulk"))
    after = label_and_audit(tables, rows, labeling(), shop())
    assert after.audit.labels.n_labels == plain.audit.labels.n_labels - 2


def test_nobody_is_asked_about_labels_that_no_decision_changes() -> None:
    """Every line cost nothing, so every label is doubtful."""
    free = LabelingTables(events().assign(price=0.0), items(), offers())
    outcome = label_and_audit(free, decisions(), labeling(), shop())
    assert set(outcome.queue["basket_id"].str.slice(4)) == {"01-16", "01-23", "01-30"}
    labels = outcome.audit.labels
    # held out: two shoppers, windows, protocols and labels of a basket
    assert (labels.n_held_out, labels.n_held_out_doubtful) == (16, 16)
    assert (labels.doubtful_fraction, labels.held_out_doubtful_fraction) == (1.0, 1.0)
