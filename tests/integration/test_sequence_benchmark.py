"""The sequence benchmark: its splits by hand, its metrics, and the command on a tiny file."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.quality import sequence
from benchmarks.quality.sequence_events import (
    SHAPES,
    Shape,
    core,
    leave_one_out,
    read_events,
    synthetic,
)
from benchmarks.quality.sequence_events import temporal as temporal_split
from benchmarks.support import machine
from pipeline.contracts.errors import SourceError
from pipeline.recommenders.base.recommender import Ranked


def events(lists: dict[str, str]) -> pd.DataFrame:
    """{"ann": "abc"}: ann buys a, b and c on three days."""
    rows = [
        (user, item, 86_400 * day)
        for user, items in lists.items()
        for day, item in enumerate(items)
    ]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.csv"
    circle = "abcdefgh" * 3
    events({f"u{n}": circle[n % 8 : n % 8 + 7 + n % 3] for n in range(24)}).to_csv(
        path, index=False
    )
    return path


def test_leave_one_out_holds_out_the_last_item_and_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    events({"ann": "abcd", "bob": "bca", "eve": "ab"}).to_parquet(path)
    split = leave_one_out(read_events(path))
    assert dict(zip(split.test["user_id"], split.test["labels"].str[0], strict=True)) == {
        "ann": "d",
        "bob": "a",
    }
    validation = split.shop.validation
    assert dict(zip(validation["user_id"], validation["labels"].str[0], strict=True)) == {
        "ann": "c",
        "bob": "c",
    }
    assert split.shop.vocabulary.ids == ("a", "b", "c")  # nobody bought d before
    opens = validation["cutoff"].min().timestamp()
    learned = split.shop.histories.time < opens
    assert np.bincount(split.shop.histories.item[learned]).tolist() == [0, 2, 3]


def test_events_of_one_second_keep_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    frame = events({"ann": "dacb", "bob": "abcd"})
    frame.assign(timestamp=7).to_csv(path, index=False)
    split = leave_one_out(read_events(path))
    assert split.test["labels"].str[0].tolist() == ["b", "d"]


def test_the_temporal_split_asks_for_the_first_event_after_it(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    events({"ann": "abcdefghij", "bob": "jihgfedcba", "new": ""}).to_csv(path, index=False)
    late = pd.DataFrame([("new", "a", 86_400 * 9)], columns=["user_id", "item_id", "timestamp"])
    frame = pd.concat([pd.read_csv(path), late])
    frame.to_csv(path, index=False)
    split = temporal_split(read_events(path), every=False)
    assert split.test["labels"].str[0].tolist() == ["j", "a"]
    assert split.n_cold == 1
    assert split.shop.validation["labels"].str[0].tolist() == ["i", "b"]
    assert (split.shop.train["timestamp"] < split.shop.validation["cutoff"].min()).all()


def test_the_temporal_split_may_ask_for_every_event(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    events({"ann": "abcdefghijklmnopqrst"}).to_csv(path, index=False)
    split = temporal_split(read_events(path), every=True)
    assert split.test["labels"].str[0].tolist() == ["s", "t"]


def test_the_core_is_what_keeps_enough_events() -> None:
    """Item z leaves first, then bob has one event left and goes too."""
    frame = events({"ann": "aab", "bob": "bz", "eve": "abb"})
    assert set(core(frame, 2)["user_id"]) == {"ann", "eve"}
    assert core(frame, 0).equals(frame)


def test_seen_and_new_items_are_merged_by_score() -> None:
    none = np.zeros((1, 3))
    ranked = Ranked(
        repeat_items=np.array([[1, 2, 0]], dtype=np.int32),
        repeat_scores=np.array([[5.0, 1.0, 0.0]], dtype=np.float32),
        explore_items=np.array([[3, 4, 1]], dtype=np.int32),
        explore_scores=np.array([[3.0, -2.0, -3.0]], dtype=np.float32),
        popular_items=none.astype(np.int32),
        popular_scores=none.astype(np.float32),
    )
    assert sequence.merged(ranked).tolist() == [[1, 3, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id,item_id\nann,a\n", "missing: timestamp"),
        ("user_id,item_id,timestamp\n", "none"),
        ("user_id,item_id,timestamp,event_type\nann,a,1,view\n", "none"),
        ("user_id,item_id,timestamp\nann,a,soon\n", "seconds since 1970"),
        ("", "EmptyDataError"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=message):
        read_events(path)


@pytest.mark.parametrize("name", ["nothing.csv", "nothing.parquet", "damaged.parquet"])
def test_a_file_that_cannot_be_read_is_an_error_in_one_sentence(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "damaged.parquet").write_text("no table", encoding="utf-8")
    assert sequence.main(["--events", str(tmp_path / name)]) == 1
    assert "Expected a Parquet or CSV file of events" in capsys.readouterr().err


@pytest.mark.parametrize("lists", [{"ann": "ab", "bob": "a"}, {"ann": "a"}])
def test_a_part_without_anything_to_find_is_refused(lists: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    events(lists).to_csv(path, index=False)
    with pytest.raises(SourceError, match="an item to find"):
        leave_one_out(read_events(path))
    with pytest.raises(SourceError, match="an item to find"):
        temporal_split(read_events(path), every=False)


def test_synthetic_events_have_their_shape() -> None:
    result = synthetic(Shape(200, 300, 4_000, 5))
    assert result["user_id"].nunique() == 200
    assert not result.duplicated(["user_id", "item_id"]).any()
    assert len(result) == pytest.approx(4_000, rel=0.15)
    assert result.groupby("user_id").size().min() >= 5
    assert SHAPES["beauty"].n_users > SHAPES["movielens-1m"].n_users


@pytest.mark.slow
def test_the_command_writes_what_it_measured(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "RESULTS", tmp_path / "results")
    few = ["--epochs", "2", "--max-length", "8"]
    assert sequence.main(["--events", str(tiny), *few]) == 0
    other = ["--protocol", "temporal", "--seen", "keep", "--families", "popular"]
    assert sequence.main(["--events", str(tiny), *other]) == 0
    data = json.loads((tmp_path / "results" / "sequence.json").read_text(encoding="utf-8"))
    assert sorted(data["runs"]) == [
        "tiny, leave-one-out, seen remove",
        "tiny, temporal first, seen keep",
    ]
    families = data["runs"]["tiny, leave-one-out, seen remove"]["families"]
    assert set(families) == {"popular", "sasrec"}
    for name in ("recall@10", "ndcg@10", "recall@20", "ndcg@20", "p@20", "mrr@20"):
        assert 0 <= families["sasrec"][name] <= 1
    assert families["sasrec"]["epochs_run"] == {"network": 2}
    assert families["sasrec"]["tokens_per_second"] > 0
    assert families["sasrec"]["peak_gib"] > 0
