"""Training and testing as stages, on the tiny shop, after the stages before them."""

import hashlib
import html
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.collection.__main__ import main as collect
from pipeline.contracts import artefacts
from pipeline.labeling.__main__ import main as label
from pipeline.planning.__main__ import main as plan
from pipeline.recommenders.names import BASELINES
from pipeline.testing.__main__ import main as measure
from pipeline.testing.protocols import KNOWN, ROLLING, TITLES, WITHOUT_CONTEXT
from pipeline.training.__main__ import main as compare
from pipeline.training.fit.__main__ import main as fit_family
from tests.support import tiny_shop

pytestmark = pytest.mark.slow

NAMES = {"mlp", *BASELINES}
TRAINING = Path("reports/training")
TESTING = Path("reports/testing")
CANDIDATES = artefacts.CANDIDATES.path
CHECKPOINTS = Path("models/checkpoints")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after labeling."""
    folder = tmp_path_factory.mktemp("labelled")
    tiny_shop.write_source(folder / "data" / "source")
    tiny_shop.write_params(folder / "params.yaml", tiny_shop.params())
    (folder / "data" / "reviewed").mkdir()
    decisions = folder / artefacts.REVIEWED_LABELS
    decisions.write_text("example_id,basket_id,item_id,reason,decision\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert [plan([]), collect([]), label([])] == [0, 0, 0]
    return folder


@pytest.fixture(scope="module")
def tested_folder(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after testing."""
    folder = tmp_path_factory.mktemp("tested") / "shop"
    shutil.copytree(labelled, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert [train([]), measure([])] == [0, 0]
    return folder


def train(_: list[str]) -> int:
    """The stages families@mlp and training."""
    return fit_family(["mlp"]) or compare([])


@pytest.fixture
def tested(tested_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tested_folder)
    return tested_folder


@pytest.fixture
def copy(tested_folder: Path, tmp_path: Path) -> Iterator[Path]:
    """A project after testing that may be changed."""
    folder = tmp_path / "shop"
    shutil.copytree(tested_folder, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def test_training_writes_every_candidate_whole(tested: Path) -> None:
    assert {path.name for path in CANDIDATES.iterdir()} == NAMES
    for name in NAMES:
        assert {path.name for path in (CANDIDATES / name).iterdir()} == {
            "saved_model",
            "model.json",
            "vocabulary.json",
        }
        assert read(CANDIDATES / name / "model.json")["name"] == name


def test_checkpoints_are_gone_when_training_is_over(tested: Path) -> None:
    assert not list(CHECKPOINTS.glob("*"))


def test_training_reports_its_curves_and_validation(tested: Path) -> None:
    report = read(TRAINING / "metrics.json")
    assert set(report["validation"]) == NAMES
    curves = pd.read_csv(TRAINING / "curves.csv")
    assert curves.columns.tolist() == ["family", "part", "epoch", "loss", "validation"]
    network = curves[curves["part"] == "network"]
    assert network["loss"].iloc[-1] < network["loss"].iloc[0]
    assert report["epochs"]["network"] in network["epoch"].to_numpy()
    assert read(TRAINING / "verdict.json")["status"] == "proceed"
    assert "Candidates on validation" in (TRAINING / "index.html").read_text(encoding="utf-8")


def test_testing_finds_the_habits_and_not_with_the_popular_list(tested: Path) -> None:
    report = read(TESTING / "metrics.json")
    assert {report["champion"], *report["baselines"]} == NAMES
    for protocol in TITLES:
        assert report[protocol]["recall@10"] > 0.7
        low, high = report[protocol]["interval"]["recall@10"]
        assert low <= report[protocol]["recall@10"] <= high
        assert report["n_users"][protocol] <= tiny_shop.N_USERS
    assert report["baselines"]["popular"]["rolling"]["recall@10"] < 0.4
    lead = report["baselines"]["popular"]["paired"]["rolling"]["recall@10"]
    assert lead["low"] > 0.3


def test_testing_says_what_it_chose_and_why(tested: Path) -> None:
    verdict, result = read(TESTING / "verdict.json"), read(TESTING / "metrics.json")
    assert result["champion"] in verdict["cause"]
    assert {item["name"] for item in verdict["evidence"]} >= {
        "recall@10",
        "gain_fraction",
        "ahead_of_baselines",
        "coverage@10",
        "fairness_gap",
    }
    card = (TESTING / "model_card.md").read_text(encoding="utf-8")
    assert card.startswith(f"# Model card: {result['champion']}\n")
    page = (TESTING / "index.html").read_text(encoding="utf-8")
    assert all(name in page for name in NAMES)


def test_both_leads_are_told_and_what_is_known_at_request_time(tested: Path) -> None:
    report = read(TESTING / "metrics.json")
    for entry in report["baselines"].values():
        assert set(entry["paired"]) == set(TITLES)
        for lead in entry["paired"].values():
            assert lead["recall@10"]["low"] <= lead["recall@10"]["high"]
    page = html.unescape((TESTING / "index.html").read_text(encoding="utf-8"))
    card = (TESTING / "model_card.md").read_text(encoding="utf-8")
    for protocol, words in TITLES.items():
        assert KNOWN[protocol] in page
        assert KNOWN[protocol] in card
        assert f"Candidates, {words}" in page


def test_withholding_context_changes_what_uses_it_and_nothing_else(tested: Path) -> None:
    """A method whose numbers move between the two tables sees the hour or the store."""
    report = read(TESTING / "metrics.json")
    entries = {report["champion"]: report, **report["baselines"]}
    for name in ("popular", "personal", "decayed", "tifu_knn"):
        assert entries[name][ROLLING] == entries[name][WITHOUT_CONTEXT], name
    assert entries["contextual"][ROLLING] != entries["contextual"][WITHOUT_CONTEXT]
    gain = report["context_gain"]["recall@10"]["difference"]
    difference = report[ROLLING]["recall@10"] - report[WITHOUT_CONTEXT]["recall@10"]
    assert gain == pytest.approx(difference)


def test_the_comparison_has_one_row_per_candidate_protocol_and_metric(tested: Path) -> None:
    table = pd.read_csv(TESTING / "comparison.csv")
    assert len(table) == len(NAMES) * len(TITLES) * 3
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


def test_the_reference_has_bins_whose_shares_add_up(tested: Path) -> None:
    reference = read(TESTING / "reference.json")
    for name, bins in reference["bins"].items():
        assert len(bins["shares"]) == len(bins["edges"]) + 2, name
        assert sum(bins["shares"]) == pytest.approx(1.0, abs=1e-6)
        assert bins["edges"] == sorted(bins["edges"])
        assert reference["weekly_psi"][name] >= 0
        assert 1 <= reference["effective_requests"][name] <= reference["n_requests"]
    assert reference["confidence"] == 0.95
    assert reference["quality"]["recall@10"] > 0.6


def test_testing_again_gives_the_same_bytes(copy: Path) -> None:
    before = digest(TESTING)
    assert measure([]) == 0
    assert digest(TESTING) == before


def test_what_comes_after_the_test_window_changes_no_number(copy: Path) -> None:
    before = read(TESTING / "metrics.json")
    changed = 0
    as_of = pd.Timestamp(tiny_shop.START) + pd.Timedelta(weeks=22)
    for path in sorted(artefacts.EVENTS.path.glob("*.parquet")):
        events = pd.read_parquet(path)
        late = events["timestamp"] >= as_of
        events.loc[late, "item_id"] = tiny_shop.item_id(0)
        changed += int(late.sum())
        events.to_parquet(path, index=False)
    assert changed > 0
    assert measure([]) == 0
    assert read(TESTING / "metrics.json") == before


def test_ctrl_c_in_training_leaves_the_candidates_as_they_were(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(_: Any, path: Path) -> None:
        """Be interrupted in the middle of being saved."""
        path.mkdir(parents=True, exist_ok=True)
        (path / "model.json").write_text("{}")
        raise KeyboardInterrupt

    from pipeline.recommenders.base.saved import load_recommender

    family = artefacts.family("mlp").path
    fitted = load_recommender(family)  # as if it were fitted now, which takes long
    monkeypatch.setattr(
        "pipeline.training.fit.candidates.fit_family", lambda *_, **__: (None, fitted)
    )
    monkeypatch.setattr("pipeline.recommenders.base.saved.GraphRecommender.save", half)
    before, verdict = digest(CANDIDATES), (TRAINING / "verdict.json").read_bytes()
    model = digest(family)
    assert fit_family(["mlp"]) == 130
    assert compare([]) == 130
    assert digest(family) == model
    assert digest(CANDIDATES) == before
    assert (TRAINING / "verdict.json").read_bytes() == verdict
    assert [path.name for path in CANDIDATES.parent.glob(".*")] == []


def test_training_that_was_interrupted_resumes_to_the_same_numbers(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.recommenders.ranker import fitting

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    before, curves = (
        read(TRAINING / "metrics.json"),
        pd.read_csv(TRAINING / "curves.csv"),
    )
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "fit_explore", interrupt)
        assert train([]) == 130
    checkpoint = CHECKPOINTS / "network.npz"
    written = checkpoint.stat().st_mtime_ns
    seen: list[int] = []

    def watched(*arguments: Any, **named: Any) -> Any:
        seen.append(checkpoint.stat().st_mtime_ns)
        return explore(*arguments, **named)

    explore = fitting.fit_explore
    monkeypatch.setattr(fitting, "fit_explore", watched)
    assert train([]) == 0
    assert seen == [written]  # no epoch of the network ran again
    pd.testing.assert_frame_equal(pd.read_csv(TRAINING / "curves.csv"), curves, atol=1e-6)
    report = read(TRAINING / "metrics.json")
    for name, values in before["validation"].items():
        assert report["validation"][name] == pytest.approx(values, abs=1e-6)
    assert report["epochs"] == before["epochs"]


def test_without_labels_training_says_what_to_run(
    copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    artefacts.EXAMPLES.path.unlink()
    before = digest(CANDIDATES)
    assert train([]) == 1
    assert "dvc repro labeling" in caplog.text
    assert digest(CANDIDATES) == before


def test_a_damaged_candidate_stops_testing(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    (CANDIDATES / "tifu_knn" / "saved_model" / "saved_model.pb").write_bytes(b"\x00" * 100)
    assert measure([]) == 1
    assert "tifu_knn" in caplog.text


def test_scores_of_a_saved_candidate_are_finite_over_the_test_window(tested: Path) -> None:
    from pipeline.contracts.params import read_params
    from pipeline.recommenders.base.saved import load_recommender
    from pipeline.recommenders.base.tables import read_examples, read_training_data

    params = read_params()
    shop = read_training_data(params.shop, params.shop.windows().as_of, learn_from=("train",))
    loaded = load_recommender(CANDIDATES / "mlp")
    recommendations = loaded.recommend(
        shop.build_requests(read_examples("test")), 10, explore_slots=2
    )
    assert np.isfinite(recommendations.scores).all()
    assert (recommendations.items > 0).all()
