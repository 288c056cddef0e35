"""Labeling from end to end on the tiny shop."""

import hashlib
import shutil
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from pipeline.collection.__main__ import main as collect
from pipeline.contracts import artefacts
from pipeline.labeling.__main__ import main
from pipeline.labeling.audit.reviews import HEADER
from tests.support import tiny_shop

pytestmark = pytest.mark.slow

WRITTEN = (artefacts.EXAMPLES, artefacts.REVIEW_QUEUE, artefacts.REVIEW_TASKS)
WRITTEN += (artefacts.LABEL_AUDIT, artefacts.page("labeling"), artefacts.verdict("labeling"))


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collected")
    tiny_shop.write_source(folder / "data" / "source")
    tiny_shop.write_params(folder / "params.yaml", tiny_shop.params())
    tiny_shop.write_verdicts(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert collect([]) == 0
    return folder


@pytest.fixture
def shop(collected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("data/clean", "params.yaml"):
        copy = shutil.copytree if (collected / name).is_dir() else shutil.copy
        (tmp_path / name).parent.mkdir(exist_ok=True)
        copy(collected / name, tmp_path / name)
    tiny_shop.write_verdicts(tmp_path)
    monkeypatch.chdir(tmp_path)
    reviewed(HEADER)
    return tmp_path


def reviewed(*lines: str) -> None:
    artefacts.REVIEWED_LABELS.parent.mkdir(parents=True, exist_ok=True)
    artefacts.REVIEWED_LABELS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def change_params(**changes: object) -> None:
    values = tiny_shop.params()
    values["labeling"] |= changes
    tiny_shop.write_params(Path("params.yaml"), values)


def digests() -> dict[str, str]:
    files = [a.path for a in WRITTEN] + sorted(artefacts.LABELING_DOCS.path.glob("*.html"))
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.usefixtures("shop")
def test_the_examples_are_the_baskets_of_the_tiny_shop() -> None:
    assert main([]) == 0
    examples = artefacts.read_table(artefacts.EXAMPLES)
    # 80 shoppers, a basket a week: two of each four training weeks are drawn, three windows;
    # then four weeks of validation, test and production, and a first basket in each
    assert examples.groupby(["split", "protocol"]).size().to_dict() == {
        ("train", "rolling"): 80 * 2 * 3,
        ("train", "first_basket"): 160,  # the earliest window has too little history before it
        ("validation", "rolling"): 320,
        ("validation", "first_basket"): 80,
        ("test", "rolling"): 320,
        ("test", "first_basket"): 80,
        ("production", "rolling"): 320,
        ("production", "first_basket"): 80,
    }
    assert (examples["timestamp"] >= examples["cutoff"]).all()
    assert (examples["negatives"].map(len) == 10).all()
    events = tiny_shop.events()
    row = examples.set_index("example_id").loc["rolling:user-07:basket-07-20"]
    bought = events.loc[events["basket_id"] == "basket-07-20", "item_id"]
    assert list(row["labels"]) == sorted(bought)
    assert row["n_earlier_baskets"] == 20
    assert row["cutoff"] == tiny_shop.START + timedelta(weeks=18)


@pytest.mark.usefixtures("shop")
def test_the_same_inputs_give_the_same_bytes() -> None:
    assert main([]) == 0
    first = digests()
    shutil.rmtree("reports/labeling")
    shutil.rmtree("data/labelled")
    assert main([]) == 0
    assert digests() == first


@pytest.mark.usefixtures("shop")
def test_a_filled_review_queue_is_the_next_runs_input() -> None:
    change_params(bulk_quantile=0.5, maximum_doubtful_fraction=1.0)
    assert main([]) == 0
    queue = pd.read_csv(artefacts.REVIEW_QUEUE.path, dtype="str", keep_default_na=False)
    first = artefacts.read_json(artefacts.LABEL_AUDIT)
    queue.loc[queue.index[0], "decision"] = "drop"
    queue.loc[queue.index[1], "decision"] = "keep"
    queue.to_csv(artefacts.REVIEWED_LABELS, index=False)
    assert main([]) == 0
    second = artefacts.read_json(artefacts.LABEL_AUDIT)
    assert second["reviews"]["n_drop"] == second["reviews"]["n_keep"] == 1
    left = pd.read_csv(artefacts.REVIEW_QUEUE.path, dtype="str", keep_default_na=False)
    assert not set(queue["basket_id"][:2]) & set(left["basket_id"])
    # the next basket may become the window's first, and be as doubtful
    assert first["n_questions"] - 2 <= second["n_questions"] <= first["n_questions"] - 1
    examples = artefacts.read_table(artefacts.EXAMPLES)
    assert queue["basket_id"][0] not in set(examples["basket_id"])
    assert queue["basket_id"][1] in set(examples["basket_id"])


@pytest.mark.usefixtures("shop")
def test_too_many_doubtful_labels_return_to_collection() -> None:
    change_params(bulk_quantile=0.5)
    assert main([]) == 0
    verdict = artefacts.read_json(artefacts.verdict("labeling"))
    assert (verdict["status"], verdict["target_phase"]) == ("return", "collection")


@pytest.mark.usefixtures("shop")
def test_a_bad_review_keeps_the_last_good_state(caplog: pytest.LogCaptureFixture) -> None:
    assert main([]) == 0
    before = digests()
    reviewed(HEADER, "rolling:user-01:basket-01-20,basket-01-20,,bulk,perhaps")
    assert main([]) == 1
    assert "Expected keep or drop" in caplog.text
    artefacts.REVIEWED_LABELS.unlink()
    assert main([]) == 1
    assert "git checkout" in caplog.text
    assert digests() == before


@pytest.mark.usefixtures("shop")
def test_an_empty_window_is_an_error_that_names_it(caplog: pytest.LogCaptureFixture) -> None:
    values = tiny_shop.params()
    values["shop"]["as_of"] = tiny_shop.START.date() + timedelta(weeks=60)
    tiny_shop.write_params(Path("params.yaml"), values)
    assert main([]) == 1
    assert "Expected an as_of that leaves a training, a validation and a test window" in caplog.text


@pytest.mark.usefixtures("shop")
def test_clean_tables_that_are_missing_name_the_stage_that_writes_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shutil.rmtree("data/clean")
    assert main([]) == 1
    assert "dvc repro collection" in caplog.text
