"""What reviewers wrote is read strictly and settles only what it speaks of."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import ArtefactError, DataQualityError
from pipeline.labeling.reviews import HEADER, lines_that, read_decisions, resolve, undecided
from tests.weekly_shop import events, labelled

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
    found = reviewed(tmp_path, f"annotator,{HEADER}", f"eve,{ROW}drop")
    assert found["decision"].tolist() == ["drop"]


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
    found = labelled(events()).source
    rows = decisions(
        ("rolling:ann:ann-01-30", "ann-01-30", "salt", "bulk"),
        ("first_basket:bob:bob-01-30", "bob-01-30", "", "bulk"),
        ("rolling:bob:ann-01-30", "ann-01-30", "", "bulk"),
    )
    resolved = resolve(rows, found)
    assert resolved["basket"].tolist() == [4, 11, -1]  # seven baskets each, the fifth of each
    marked = found.lines[lines_that(resolved, found)]
    assert marked[["user_id", "item_id"]].to_numpy().tolist() == [
        ["ann", "salt"],
        ["bob", "bread"],
        ["bob", "salt"],
    ]


def test_no_decision_marks_nothing() -> None:
    found = labelled(events()).source
    assert not lines_that(resolve(decisions(), found), found).any()


def test_a_settled_doubt_is_not_asked_again() -> None:
    doubts = pd.DataFrame(
        {"basket": [4, 4], "item_id": ["", ""], "reason": ["bulk", "duplicate"], "evidence": ""}
    )
    resolved = resolve(
        decisions(("rolling:ann:ann-01-30", "ann-01-30", "", "bulk")), labelled(events()).source
    )
    assert undecided(doubts, resolved)["reason"].tolist() == ["duplicate"]
