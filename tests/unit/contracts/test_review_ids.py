"""Review decisions contain no user id, and are deleted with the person they are about."""

from pathlib import Path

import pytest

from pipeline.contracts.review_ids import example_id, forget_reviews, review_id
from pipeline.labeling.audit.reviews import (
    HEADER,
    build_review_queue,
    build_review_tasks,
    match_decisions,
    read_decisions,
)
from tests.support.weekly_shop import events, labelled

OWN = example_id("rolling", "ann", "ann-01-30")
OTHER = f"{review_id(example_id('rolling', 'bob', 'bob-01-30'))},bob-01-30,salt,bulk,drop"


def reviewed(path: Path, *lines: str, header: str = HEADER) -> str:
    text = "\n".join([header, *lines]) + "\n"
    path.write_text(text, encoding="utf-8")
    return text


@pytest.mark.parametrize(
    "example",
    [
        review_id(OWN),
        review_id(example_id("first_basket", "ann", "ann-01-30")),
        OWN,  # as the queue named it once
    ],
)
def test_a_decision_about_a_forgotten_person_goes_and_the_others_stay(
    tmp_path: Path, example: str
) -> None:
    path = tmp_path / "labels.csv"
    rest = reviewed(path, OTHER)
    reviewed(path, f"{example},ann-01-30,salt,bulk,drop", OTHER)
    assert forget_reviews(path, ["eve", "ann"]) == 1
    assert path.read_text(encoding="utf-8") == rest


def test_further_columns_that_name_the_person_count_too(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    header = f"{HEADER},user_id,note"
    rest = reviewed(path, f"{OTHER},bob,ann-gela bought it", header=header)
    reviewed(
        path,
        "x,b-1,salt,bulk,drop,ann,",
        f"{OTHER},bob,ann-gela bought it",
        'x,b-1,salt,bulk,drop,,"said by ann, not by bob"',
        header=header,
    )
    assert forget_reviews(path, ["ann"]) == 2
    assert path.read_text(encoding="utf-8") == rest


def test_a_file_about_others_stays_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(f"{HEADER}\r\n{OTHER}\r\n".encode("utf-8-sig"))
    before = path.read_bytes()
    assert forget_reviews(path, ["ann"]) == 0
    assert path.read_bytes() == before
    assert forget_reviews(tmp_path / "none.csv", ["ann"]) == 0


@pytest.mark.parametrize("example", [review_id(OWN), OWN])
def test_a_decision_finds_its_basket_by_either_name(tmp_path: Path, example: str) -> None:
    labelled_shop = labelled(events()).source
    reviewed(tmp_path / "labels.csv", f"{example},ann-01-30,salt,bulk,drop")
    (basket,) = match_decisions(read_decisions(tmp_path / "labels.csv"), labelled_shop)["basket"]
    assert labelled_shop.baskets["basket_id"][basket] == "ann-01-30"


def test_questions_name_no_user() -> None:
    labelled_shop = labelled(events())
    doubts = labelled_shop.source.baskets[["basket"]].assign(
        item_id="", reason="bulk", evidence="many"
    )
    queue = build_review_queue(doubts, labelled_shop)
    assert len(queue) > 0
    assert "user_id" not in queue.columns
    assert not queue["example_id"].str.contains("ann|bob").any()
    assert all("user_id" not in task["data"] for task in build_review_tasks(queue))
