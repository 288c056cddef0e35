"""The search for hyper-parameters: resumable, pruned, and written where it is used."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from pipeline.contracts.errors import TrainingError
from pipeline.contracts.params import read_params
from pipeline.training.search import outcome, search
from tests.model.conftest import World
from tests.support import tiny_shop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench(world: World) -> search.Bench:
    return search.build_bench("mlp", world.data, world.params)


def nothing(*_: Any) -> None:
    """Tell nobody."""


def test_a_search_goes_on_where_it_stopped(
    bench: search.Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results: list[int] = []
    for n_trials in (1, 3, 3):
        with search.open_study("mlp", 3, tmp_path / "tuning.db") as study:
            search.enqueue_current(study, bench.params)
            search.search(study, lambda: bench, n_trials, lambda number, *_: results.append(number))
            assert len(study.trials) == n_trials
            assert 0.5 < study.best_value <= 1.0
            chosen = search.choose_trial(study)
            best = search.trial_values(chosen)
    assert results == sorted(set(results))
    assert len(results) <= 3
    tiny_shop.write_params(tmp_path / "params.yaml", tiny_shop.params())
    outcome.write_params(tmp_path / "params.yaml", best, "mlp: from a test")
    ranker = read_params(tmp_path / "params.yaml").families.ranker
    assert ranker.hidden_dims == best["hidden_dims"]
    assert ranker.learning_rate == pytest.approx(best["learning_rate"], rel=0.01)
    assert "# mlp: from a test" in (tmp_path / "params.yaml").read_text()
    assert not list((tmp_path / "models" / "checkpoints").glob("*"))
    outcome.build_page(study, chosen).write(tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert all(title in page for title in ("Parallel coordinates", "Importance", "Trials"))


def test_the_first_trial_is_what_is_in_use(bench: search.Bench, tmp_path: Path) -> None:
    with search.open_study("mlp", 3, tmp_path / "tuning.db") as study:
        search.enqueue_current(study, bench.params)
        search.enqueue_current(study, bench.params)
        assert len(study.trials) == 1
        first = search.suggest(study.ask())
    assert first["hidden_dims"] == bench.params.hidden_dims
    assert first["learning_rate"] == pytest.approx(bench.params.learning_rate)


def test_a_trial_that_falls_behind_is_ended(bench: search.Bench) -> None:
    class Behind:
        def __init__(self) -> None:
            self.reported: list[float] = []

        def report(self, value: float, _: int) -> None:
            self.reported.append(value)

        def should_prune(self) -> bool:
            return len(self.reported) > 1

    class Constant:
        def of_network(self, _: Any) -> Any:
            return lambda: 0.5

    score = search.PruningValidation(Constant(), Behind()).of_network(None)  # type: ignore[arg-type]
    assert score() == 0.5
    with pytest.raises(optuna.TrialPruned):
        score()


def test_of_equally_good_trials_the_smallest_network_is_taken() -> None:
    study = optuna.create_study(direction="maximize")
    for value, n_weights in ((0.3, 900), (0.2999, 100), (0.29, 10), (0.29985, 200)):
        study.add_trial(
            optuna.trial.create_trial(value=value, user_attrs={search.N_WEIGHTS: n_weights})
        )
    assert search.choose_trial(study).number == 1


def test_only_history_encoders_are_tuned(world: World) -> None:
    with pytest.raises(TrainingError, match="'lightgcn'"):
        search.build_bench("lightgcn", world.data, world.params)


def test_params_keep_their_comments(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((tiny_shop.PROJECT / "params.yaml").read_text(encoding="utf-8"))
    before = path.read_text(encoding="utf-8").splitlines()
    outcome.write_params(path, {"dropout": 0.123456}, "mlp: from a test")
    after = path.read_text(encoding="utf-8").splitlines()
    changed = [line for line in after if line not in before]
    assert [line.strip().split("  ")[0] for line in changed] == [
        "# mlp: from a test",
        "dropout: 0.123",
    ]
