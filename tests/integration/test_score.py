"""`python -m pipeline.serving score` with a method without TensorFlow behind it."""

import csv
import gc
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.bundles.archive import version_of
from pipeline.event_store.cleaning import forget
from pipeline.event_store.store import EventStore
from pipeline.event_store.suppression import SuppressionList
from pipeline.recommenders.base.requests import Requests
from pipeline.serving.__main__ import main
from pipeline.serving.commands.score import BATCH_SIZE
from pipeline.serving.environment import BUNDLE, EVENT_STORE, RELEASES_FOLDER
from pipeline.serving.payloads import RecommendRequest
from pipeline.serving.releases import changes
from tests.support.fake_bundle import AS_OF, FakeBundle
from tests.support.fake_releases import load_fake, write_fake, write_fake_store
from tests.support.served import Http, act, recommend, send
from tests.support.tiny_shop import PROJECT
from tests.unit.event_store.rows import event

AT = (AS_OF + timedelta(days=1)).isoformat()


@pytest.fixture
def score(
    tmp_path: Path, path: Path, bundle: FakeBundle, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Score the users of a text file into out.parquet."""
    monkeypatch.setattr("pipeline.bundles.bundle.load_bundle", lambda _: bundle)
    monkeypatch.setenv(EVENT_STORE, f"sqlite:///{path}")
    (tmp_path / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)

    def run(*users: str, more: tuple[str, ...] = ()) -> int:
        (tmp_path / "users.txt").write_text("\n".join(users), encoding="utf-8")
        return main(["score", "--users", "users.txt", "--out", "out.parquet", "--at", AT, *more])

    return run


def test_the_rows_are_what_recommend_answers(
    score: Callable[..., int],
    start: Callable[..., Http],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    http = start()
    send(http, act("purchase", "coffee", timestamp=AS_OF.isoformat()))
    http.post("/availability", json={"item_id": "jam", "available": False})
    with caplog.at_level(logging.INFO, "evergreen.serving"):
        assert score("ann", "eve", "ann", "bob", more=("--k", "4")) == 0
    assert "3 users, 1 of them unknown" in caplog.text
    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    names = ["user_id", "rank", "item_id", "score", "slot", "reasons"]
    expected = [
        {"user_id": user_id, **{name: item[name] for name in names[1:]}}
        for user_id in ("ann", "eve", "bob")
        for item in recommend(http, user_id, k=4, explore_slots=2, at=AT).json()["items"]
    ]
    assert table == expected
    assert "jam" not in {row["item_id"] for row in table}
    assert {"coffee"} < {row["item_id"] for row in table if row["user_id"] == "ann"}


def test_the_champion_scores_after_a_rollback_too(
    score: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release_store = write_fake_store(tmp_path)
    write_fake(tmp_path / "new", "new")
    loaded: list[Path] = []

    def load(path: Path) -> FakeBundle:
        loaded.append(path)
        return load_fake(path)

    monkeypatch.setattr("pipeline.bundles.bundle.load_bundle", load)
    monkeypatch.setenv(BUNDLE, str(release_store.deployed))
    monkeypatch.setenv(RELEASES_FOLDER, str(release_store.folder))
    assert score("ann") == 0
    new = changes.promote(str(tmp_path / "new"), release_store).champion
    assert score("ann") == 0
    changes.rollback(release_store)
    assert score("ann") == 0
    old = release_store.read_pointer().champion
    assert [version_of(path) for path in loaded] == [old, new, old]


def test_forgotten_users_are_left_out(
    score: Callable[..., int], path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = EventStore(f"sqlite:///{path}")
    forget(store.database, ["ann"], SuppressionList())
    store.close()
    with caplog.at_level(logging.INFO, "evergreen.serving"):
        assert score("ann", "bob") == 0
    assert set(pq.read_table(tmp_path / "out.parquet")["user_id"].to_pylist()) == {"bob"}
    assert "Left out 1 users who asked to be forgotten" in caplog.text


def test_scored_again_it_is_the_same_file(score: Callable[..., int], tmp_path: Path) -> None:
    assert score("ann", "bob") == 0
    first = (tmp_path / "out.parquet").read_bytes()
    assert score("ann", "bob") == 0
    assert (tmp_path / "out.parquet").read_bytes() == first


def test_more_users_than_a_batch_are_all_scored(score: Callable[..., int], tmp_path: Path) -> None:
    users = [f"user-{at}" for at in range(150)]
    assert score(*users, more=("--k", "1")) == 0
    assert pq.read_table(tmp_path / "out.parquet")["user_id"].to_pylist() == users


def test_a_failure_on_the_way_leaves_the_old_file(
    score: Callable[..., int],
    bundle: FakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "out.parquet").write_bytes(b"old")
    calls = 0
    real = bundle.recommender.rank_explained

    def second_fails(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(bundle.recommender, "rank_explained", second_fails)
    with pytest.raises(KeyboardInterrupt):
        score(*[f"user-{at}" for at in range(100)])
    assert (tmp_path / "out.parquet").read_bytes() == b"old"
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize(
    "more", [("--k", "0"), ("--k", "1000"), ("--at", "soon"), ("--at", "2024-03-01T10:00:00")]
)
def test_settings_that_make_no_sense_are_refused(
    score: Callable[..., int], tmp_path: Path, more: tuple[str, ...]
) -> None:
    assert score("ann", more=more) == 1
    assert not (tmp_path / "out.parquet").exists()


def everybody(tmp_path: Path, name: str) -> int:
    return main(["score", "--out", str(tmp_path / name), "--at", AT, "--k", "3"])


def test_without_a_list_all_known_users_are_scored(
    score: Callable[..., int], path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = EventStore(f"sqlite:///{path}")
    after = AS_OF + timedelta(hours=1)
    events = [
        event(str(n), user_id=user, timestamp=after) for n, user in enumerate(("new", "gone"))
    ]
    store.append(events)
    forget(store.database, ["gone"], SuppressionList())
    store.close()
    assert score("ann", "bob", "new", more=("--k", "3")) == 0
    with caplog.at_level(logging.INFO, "evergreen.serving"):
        assert everybody(tmp_path, "all.parquet") == 0
    assert (tmp_path / "all.parquet").read_bytes() == (tmp_path / "out.parquet").read_bytes()
    assert "3 users, 0 of them unknown" in caplog.text


@pytest.mark.usefixtures("score")
def test_the_suffix_of_the_file_chooses_the_format(tmp_path: Path) -> None:
    for name in ("scores.parquet", "scores.CSV", "scores.jsonl"):
        assert everybody(tmp_path, name) == 0
    rows = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    assert len(rows) > 3
    with (tmp_path / "scores.CSV").open(encoding="utf-8", newline="") as stream:
        assert list(csv.DictReader(stream)) == [
            {
                **{name: str(value) for name, value in row.items()},
                "reasons": "; ".join(row["reasons"]),
            }
            for row in rows
        ]
    lines = (tmp_path / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows


@pytest.mark.parametrize("name", ["scores.xlsx", "scores", "scores.parquet.gz"])
@pytest.mark.usefixtures("score")
def test_an_unknown_suffix_is_refused_before_anything_is_read(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert everybody(tmp_path, name) == 1
    assert "ends in .parquet, .csv, .jsonl" in caplog.text
    assert not (tmp_path / name).exists()


def test_memory_does_not_grow_with_the_number_of_users(
    score: Callable[..., int], bundle: FakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_sizes: list[int] = []
    real = bundle.recommender.rank_explained

    def counted(requests: Requests, k: int) -> object:
        batch_sizes.append(len(requests))
        requests_held = (o for o in gc.get_objects() if isinstance(o, RecommendRequest))
        waiting = sum(request.user_id.startswith("counted-") for request in requests_held)
        assert waiting <= BATCH_SIZE + 1
        return real(requests, k)

    monkeypatch.setattr(bundle.recommender, "rank_explained", counted)
    assert score(*(f"counted-{at}" for at in range(3 * BATCH_SIZE)), more=("--k", "1")) == 0
    assert max(batch_sizes) <= BATCH_SIZE
