"""The bundle as an MLflow model, its golden requests, and a Bento that cannot be built."""

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from pipeline.bundles.pyfunc import PyfuncModel
from pipeline.contracts.artefacts import write_json
from pipeline.contracts.errors import DeploymentError, RequestError
from pipeline.deployment import bento
from pipeline.deployment.bento import build_bento
from pipeline.deployment.golden import UNKNOWN_USER, build_golden_requests
from pipeline.recommenders.base.recommender import Recommendations
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.vocabulary import Vocabulary
from tests.support.fake_bundle import AS_OF, COFFEE, ITEMS, JAM, MILK, TEA, FakeBundle

AT = "2024-03-01T00:00:00Z"


def model(bundle: Any) -> PyfuncModel:
    return PyfuncModel(bundle)


def requests_of(*users: str) -> pd.DataFrame:
    return pd.DataFrame({"user_id": users, "at": AT})


@dataclass
class TwoAnswers:
    """Three places each for two requests; the second has only two items to offer."""

    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary(ITEMS))

    def recommend(self, requests: Requests, k: int, *, explore_slots: int) -> Recommendations:
        assert (len(requests), k, explore_slots) == (2, 3, 1)
        return Recommendations(
            items=np.array([[MILK, TEA, JAM], [COFFEE, MILK, 0]], dtype=np.int32),
            scores=np.array([[3.0, 2.0, 1.0], [0.5, 0.25, 0.0]], dtype=np.float32),
            slots=np.zeros((2, 3), dtype=np.int8),
        )


def test_an_answer_is_a_row_per_request_and_rank() -> None:
    bundle = FakeBundle(recommender=TwoAnswers())  # type: ignore[arg-type]
    answers = model(bundle).predict(requests_of("ann", "bob"), {"k": 3, "explore_slots": 1})
    assert answers.to_numpy().tolist() == [
        ["ann", 1, "milk", 3.0],
        ["ann", 2, "tea", 2.0],
        ["ann", 3, "jam", 1.0],
        ["bob", 1, "coffee", 0.5],
        ["bob", 2, "milk", 0.25],
    ]
    assert answers.columns.tolist() == ["user_id", "rank", "item_id", "score"]


def test_the_history_before_the_moment_counts() -> None:
    wanted = {AT: ["milk", "bread", "jam"], "2024-02-15T00:00:00Z": ["bread", "milk", "coffee"]}
    for at, items in wanted.items():
        answers = model(FakeBundle()).predict(requests_of("ann").assign(at=at), {"k": 3})
        assert answers["item_id"].tolist() == items


def test_without_settings_there_are_ten_places_and_padding_is_left_out() -> None:
    answers = model(FakeBundle()).predict(requests_of("ann"))
    assert answers["item_id"].tolist() == ["milk", "bread", "jam", "coffee", "tea"]
    assert answers["rank"].tolist() == [1, 2, 3, 4, 5]
    assert answers["score"].tolist() == [3.0, 2.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("missing", ["user_id", "at"])
def test_a_missing_column_is_named(missing: str) -> None:
    with pytest.raises(RequestError, match=r"Expected the columns \['user_id', 'at'\]"):
        model(FakeBundle()).predict(requests_of("ann").drop(columns=missing))


@pytest.fixture
def golden() -> list[dict[str, Any]]:
    bundle = FakeBundle()
    recommender: Any = bundle.recommender
    return build_golden_requests(
        recommender,
        bundle.histories,
        bundle.attributes,
        as_of=AS_OF,
        timezone="UTC",
        n=3,
        k=4,
        explore_slots=1,
    )


def test_golden_requests_ask_for_known_shoppers_carts_and_a_stranger(
    golden: list[dict[str, Any]],
) -> None:
    requests = [entry["request"] for entry in golden]
    assert [request["user_id"] for request in requests] == ["ann", "bob", UNKNOWN_USER]
    assert [request["cart"] for request in requests] == [["bread", "jam"], [], []]
    assert {request["at"] for request in requests} == {"2024-03-01T00:00:00+00:00"}
    assert {(request["k"], request["explore_slots"]) for request in requests} == {(4, 1)}


def test_golden_answers_are_those_of_the_recommender(golden: list[dict[str, Any]]) -> None:
    ann, bob, stranger = (entry["expected"] for entry in golden)
    assert ann == {  # bread and jam are in the cart; five items leave three
        "items": ["milk", "coffee", "tea"],
        "scores": [3.0, 0.0, 0.0],
        "slots": ["repeat", "explore", "explore"],
    }
    assert bob["items"] == ["tea", "bread", "coffee", "jam"]
    assert bob["scores"] == [1.0, 0.0, 0.0, 0.0]
    assert stranger["items"] == ["bread", "coffee", "jam", "milk"]
    assert stranger["slots"] == ["popular", "popular", "popular", "explore"]


def test_golden_requests_are_written_the_same_twice(
    golden: list[dict[str, Any]], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write_json(golden, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.fixture
def bundle(shop_folder: Path) -> Path:
    folder = shop_folder / "models" / "challenger"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}", encoding="utf-8")
    return folder


def build(bundle: Path) -> Path:
    return build_bento(bundle, Path("params.yaml"), "0123456789ab", home=Path("store"))


def answer(code: int, *, stderr: str = "", stdout: str = "") -> Any:
    return lambda command, **_: subprocess.CompletedProcess(command, code, stdout, stderr)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (answer(1, stderr="no module named x"), "exit code 1: no module named x"),
        (answer(2, stdout="bad bentofile"), "exit code 2: bad bentofile"),
        (answer(0, stdout="built elsewhere"), "exit code 0: built elsewhere"),
    ],
)
def test_a_bento_that_cannot_be_built_is_an_error(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, run: Any, message: str
) -> None:
    monkeypatch.setattr(bento.subprocess, "run", run)
    with pytest.raises(DeploymentError, match="BentoML to build the service") as error:
        build(bundle)
    assert message in str(error.value)


def test_a_build_that_does_not_finish_is_an_error(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], *, timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(bento.subprocess, "run", run)
    with pytest.raises(DeploymentError, match="within 180 seconds"):
        build(bundle)


def test_what_is_built_holds_the_code_the_params_and_the_bundle(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Path("store/bentos/evergreen/0123456789ab/old.txt")
    old.parent.mkdir(parents=True)
    old.write_text("of an earlier build", encoding="utf-8")

    def run(command: list[str], *, cwd: Path, env: dict[str, str], **_: object) -> Any:
        assert (cwd / "pipeline" / "serving").is_dir()
        assert (cwd / "pipeline" / "serving" / "storefront" / "assets" / "index.html").is_file()
        assert not list(cwd.rglob("__pycache__"))
        assert (cwd / "models" / "champion" / "model.json").read_text(encoding="utf-8") == "{}"
        assert (cwd / "params.yaml").read_bytes() == Path("params.yaml").read_bytes()
        described = YAML(typ="safe", pure=True).load(cwd / "bentofile.yaml")
        assert described["name"] == "evergreen"
        assert {p.partition("==")[0] for p in described["python"]["packages"]} >= {"bentoml"}
        assert env["BENTOML_HOME"] == str(Path("store").absolute())
        (Path(env["BENTOML_HOME"]) / "bentos" / "evergreen" / command[-3]).mkdir(parents=True)
        return subprocess.CompletedProcess(command, 0, "evergreen:0123456789ab", "")

    monkeypatch.setattr(bento.subprocess, "run", run)
    assert build(bundle) == Path("store/bentos/evergreen/0123456789ab").absolute()
    assert not old.exists()


def test_the_bento_installs_what_the_event_store_imports() -> None:
    files = (bento.PROJECT / "pipeline" / "event_store").rglob("*.py")
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    imported = set(re.findall(r"(?m)^(?:from|import) (\w+)", text))
    ours = imported - {"pipeline"} - set(sys.stdlib_module_names)
    assert ours == {"alembic", "numpy", "pandas", "pydantic_core", "sqlalchemy"}
    packages = ours - {"pydantic_core"} | {"pydantic"}  # which brings it
    assert {*packages, "psycopg", "psycopg-binary"} <= set(bento.REQUIREMENTS)
