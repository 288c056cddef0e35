"""Planning as a stage, on the tiny shop and with missing tables."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.lifecycle.heavy_user import GUEST, guest_events
from pipeline.contracts import artefacts
from pipeline.contracts.plan import read_plan
from pipeline.planning.__main__ import main
from tests.support import tiny_shop

pytestmark = pytest.mark.slow

OUTPUTS = ("plan.json", "index.html", "verdict.json")


def keep_events(folder: Path, events: pd.DataFrame) -> None:
    events.to_parquet(folder / "data" / "source" / "events.parquet", index=False)


def status() -> str:
    return str(json.loads(Path("reports/planning/verdict.json").read_text())["status"])


def hashes() -> list[str]:
    folder = Path("reports/planning")
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in OUTPUTS]


def test_the_tiny_shop_is_worth_it_and_its_habits_show(shop_folder: Path) -> None:
    assert main([]) == 0
    assert status() == "proceed"
    plan = read_plan()
    assert plan.profile.n_users == tiny_shop.N_USERS
    assert plan.profile.n_baskets == 18 * tiny_shop.N_USERS  # weeks before the test window
    assert plan.profile.known_user_fraction == 0.5
    assert plan.viability.n_requests == 4 * tiny_shop.N_USERS
    assert plan.baseline.value > 0.7
    assert plan.baseline.value > plan.baselines[0].value + 0.3
    assert plan.target.value > plan.baseline.value
    assert plan.learning_curves[0].points[-1].size == pytest.approx(14.0, abs=1.0)
    assert {missing.name for missing in plan.profile.missing} == {"session_id", "view", "cart"}


def test_the_same_inputs_give_the_same_bytes(shop_folder: Path) -> None:
    assert main([]) == 0
    first = hashes()
    events = tiny_shop.events()
    keep_events(shop_folder, events.sample(frac=1, random_state=1))  # the order of rows is no input
    assert main([]) == 0
    assert hashes() == first


def test_nothing_from_the_test_window_on_changes_what_is_measured(shop_folder: Path) -> None:
    assert main([]) == 0
    before = read_plan()
    events = tiny_shop.events()
    test_start = tiny_shop.START + pd.Timedelta(weeks=18)
    late = events["timestamp"] >= test_start
    events.loc[late, "item_id"] = tiny_shop.item_id(0)
    keep_events(shop_folder, events)
    assert main([]) == 0
    assert read_plan() == before


def test_one_user_is_not_worth_it(shop_folder: Path) -> None:
    events = tiny_shop.events()
    keep_events(shop_folder, events[events["user_id"] == "user-00"])
    assert main([]) == 1
    assert status() == "stop"
    verdict = json.loads(Path("reports/planning/verdict.json").read_text())
    evidence = {item["name"]: item for item in verdict["evidence"]}
    assert evidence["users"]["value"] == 1
    assert not evidence["users"]["holds"]
    assert "more users" in verdict["action"]


def test_a_heavy_account_is_named_and_stops_nothing(
    shop_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main([]) == 0
    before = read_plan()
    keep_events(shop_folder, pd.concat([tiny_shop.events(), guest_events(60_000)]))
    assert main([]) == 0
    (account,) = read_plan().profile.heavy_accounts
    assert account.line_fraction > 0.8
    assert read_plan().baseline.value == pytest.approx(before.baseline.value, abs=0.02)
    verdict = artefacts.read_verdict("planning")
    assert [item.name for item in verdict.warnings] == ["heavy_accounts"]
    assert f"The account '{GUEST}' has" in caplog.text
    for name in OUTPUTS:
        assert GUEST not in (Path("reports/planning") / name).read_text(encoding="utf-8").split()


@pytest.mark.parametrize(("hard", "expected"), [(False, 0), (True, 1)])
def test_a_cycle_over_budget_is_amber_and_under_a_hard_budget_red(
    shop_folder: Path, *, hard: bool, expected: int
) -> None:
    values = tiny_shop.params()
    values["planning"]["guardrails"]["cycle_minutes"] = 0.5
    values["planning"]["budget"]["hard"] = hard
    tiny_shop.write_params(shop_folder / "params.yaml", values)
    assert main([]) == expected
    verdict = artefacts.read_verdict("planning")
    over = verdict.failing if hard else verdict.warnings
    assert [item.name for item in over] == ["cycle_minutes"]


def test_shoppers_without_habits_are_not_worth_a_model(shop_folder: Path) -> None:
    events = tiny_shop.events()
    first = events.drop_duplicates("basket_id").assign(item_id=tiny_shop.item_id(1))
    keep_events(shop_folder, first)  # all buy the same: the popular list is perfect
    assert main([]) == 1
    assert "popular list" in json.loads(Path("reports/planning/verdict.json").read_text())["action"]


def test_events_alone_are_enough(shop_folder: Path) -> None:
    values = tiny_shop.params()
    values["collection"]["source"]["tables"] = {"events": {"file": "events.parquet"}}
    tiny_shop.write_params(shop_folder / "params.yaml", values)
    events = tiny_shop.events()[["user_id", "item_id", "timestamp", "price"]]
    keep_events(shop_folder, events)
    assert main([]) == 0
    missing = {item.name for item in read_plan().profile.missing}
    assert {"basket_id", "store_id", "type", "department", "users", "offers"} <= missing
    assert read_plan().profile.repeat_fraction_types == 0.0


def test_a_missing_source_is_named(shop_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (shop_folder / "data/source/events.parquet").unlink()
    assert main([]) == 1
    assert "events.parquet" in caplog.text
    assert not Path("reports/planning/plan.json").exists()


@pytest.mark.parametrize(
    ("weeks", "words"),
    [
        ((0, 14), "Expected baskets in the validation window"),
        ((14, 26), "Expected purchases before the validation window"),
        ((18, 26), "Expected purchases before the test window"),
    ],
)
def test_an_empty_window_is_named(
    shop_folder: Path, caplog: pytest.LogCaptureFixture, weeks: tuple[int, int], words: str
) -> None:
    events = tiny_shop.events()
    start, end = (tiny_shop.START + pd.Timedelta(weeks=week) for week in weeks)
    keep_events(shop_folder, events[events["timestamp"].between(start, end, inclusive="left")])
    assert main([]) == 1
    assert words in caplog.text
