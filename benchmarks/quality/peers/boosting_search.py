"""A search over LightGBM's settings by Optuna, on the window that the network's were chosen on.

    uv run python -m benchmarks.quality.peers.boosting_search --trials 24
    uv run python -m benchmarks.quality.peers.boosting_search --trials 26 --longer

Trials learn from the examples of every SHARE-th shopper before the validation window, and are
judged by rolling NDCG@10 of every VALIDATION_SHARE-th shopper in it; the test windows are never
seen. A trial reports every STEP trees, stops when PATIENCE reports bring nothing, and is ended when
it falls behind the median of the others. A training list holds the 60 strongest products, as the
network's lists do; --longer fits the best settings again on lists of 200 and on all. Features and
trials are kept in --folder: a search that was interrupted goes on. Writes
benchmarks/results/boosting.json.

References:
    Akiba et al., 2019, "Optuna", arXiv:1907.10902; Bergstra et al., 2011 (TPE).
"""

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.quality.peers.boosting import (
    FIXED,
    columns_without,
    dataset,
    graph_of,
    strongest,
    useful,
)
from benchmarks.quality.peers.moment import Moment, read_moment
from benchmarks.support.machine import write_result
from pipeline.contracts.params import Params, read_params
from pipeline.metrics import ranking
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.ranker.examples import (
    Labels,
    RepeatPairs,
    build_extractor,
    build_repeat_pairs,
    join_pairs,
)
from pipeline.recommenders.ranker.features import N_STRONGEST
from pipeline.recommenders.ranker.fitting import build_window_pairs
from pipeline.recommenders.ranker.repeat_fit import best_hits

if TYPE_CHECKING:
    import optuna

SHARE, VALIDATION_SHARE = 8, 4  # of shoppers, one in so many
STEP, PATIENCE, MOST_TREES = 25, 3, 500
STARTUP_TRIALS = 6
START = {  # the settings before there was a search
    "objective": "lambdarank",
    "learning_rate": 0.1,
    "num_leaves": 63,
    "min_data_in_leaf": 200,
    "lambda_l2": 1e-3,
    "feature_fraction": 1.0,
    "cat_smooth": 10.0,
    "lambdarank_truncation_level": 30,
}
K = 10
log = logging.getLogger("evergreen")

OBJECTIVES = ("lambdarank", "rank_xendcg", "binary")
LIST_LENGTHS = (60, 200, 10_000)


@dataclass(frozen=True)
class Bench:
    """What every trial shares.

    Attributes:
        sets: By length of the lists, binned: what is learned from, and the validation window.
        pairs: Of the validation window.
        n_true: [n] labels per request.
        seed: Of every trial.
    """

    sets: dict[int, tuple[Any, Any]]
    pairs: RepeatPairs
    n_true: np.ndarray
    seed: int

    @classmethod
    def of(cls, features: "Features", seed: int, lengths: Sequence[int]) -> "Bench":
        """Bin the features for lists of these lengths."""
        columns = columns_without(())
        sets = {}
        for length in lengths:
            train = dataset([useful(strongest(features.train, length))], columns)
            sets[length] = train, dataset([features.validation], columns, train)
        return cls(sets, features.validation, features.n_true, seed)

    def ndcg(self, scores: np.ndarray) -> float:
        """Return mean NDCG@10 of own items by falling score."""
        hits = best_hits(scores, self.pairs)
        return float(np.nanmean(ranking.ndcg_at_k(hits, self.n_true, K)))


@dataclass(frozen=True)
class Features:
    """The features of all candidates of some shoppers.

    Attributes:
        train: Of the examples to learn from.
        validation: Of the validation window.
        n_true: [n] labels per request of the validation window.
    """

    train: RepeatPairs
    validation: RepeatPairs
    n_true: np.ndarray

    @classmethod
    def of(cls, moment: Moment, params: Params) -> "Features":
        """Compute them."""
        families = params.families
        shop = share_of(moment.shop, SHARE)
        graph = graph_of(shop, families, params.shop.seed)
        train = join_pairs([*build_window_pairs(shop, graph, families, None)])
        asked = moment.questions["rolling"]
        labels = Labels.of(asked.examples, shop)
        chosen = every_th(asked.examples["user_id"], VALIDATION_SHARE)
        extract = build_extractor(graph, families.ranker.n_ages)
        pairs = build_repeat_pairs(asked.requests, labels, extract, N_STRONGEST)
        return cls(train, pairs.of_requests(chosen), asked.n_true[chosen])

    def save(self, path: Path) -> None:
        """Write them to a file."""
        arrays = {"n_true": self.n_true}
        for name in ("train", "validation"):
            arrays |= {f"{name}/{key}": value for key, value in vars(getattr(self, name)).items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, allow_pickle=False, **arrays)

    @classmethod
    def read(cls, path: Path) -> "Features":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            parts = {
                name: {key: arrays[f"{name}/{key}"] for key in RepeatPairs.__dataclass_fields__}
                for name in ("train", "validation")
            }
            pairs = {
                name: RepeatPairs(**{**part, "n": int(part["n"])}) for name, part in parts.items()
            }
            return cls(**pairs, n_true=arrays["n_true"])


def share_of(shop: TrainingData, share: int) -> TrainingData:
    """Return the shop with the training examples of every `share`-th shopper."""
    chosen = every_th(shop.train["user_id"], share)
    return replace(shop, train=shop.train[chosen].reset_index(drop=True))


def every_th(users: pd.Series, share: int) -> np.ndarray:
    """Return [n] whether a row is of every `share`-th user, by a hash of the id."""
    hashes = pd.util.hash_pandas_object(users, index=False).to_numpy()
    return np.asarray(hashes % np.uint64(share) == 0)


def suggest(trial: "optuna.Trial") -> dict[str, Any]:
    """Return the settings of a trial."""
    return {
        "objective": trial.suggest_categorical("objective", OBJECTIVES),
        "learning_rate": trial.suggest_float("learning_rate", 0.03, 0.2, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 15, 255, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 20, 2000, log=True),
        "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 100.0, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
        "cat_smooth": trial.suggest_float("cat_smooth", 1.0, 300.0, log=True),
        "lambdarank_truncation_level": trial.suggest_int(
            "lambdarank_truncation_level", 10, 100, log=True
        ),
    }


class Judge:
    """Scores a booster every STEP trees: LightGBM calls it after each tree."""

    def __init__(self, bench: Bench, trial: "optuna.Trial") -> None:
        """Begin a trial, of which no tree has grown."""
        self._bench, self._trial, self._n_trees = bench, trial, 0
        self.values = [0.0]

    def __call__(self, scores: np.ndarray, _data: Any) -> tuple[str, float, bool]:
        """Return the latest NDCG@10, after it is told to Optuna.

        Raises:
            TrialPruned: It falls behind the other trials.
        """
        import optuna

        self._n_trees += 1
        if self._n_trees % STEP == 0:
            self.values.append(self._bench.ndcg(scores))
            self._trial.report(self.values[-1], self._n_trees)
            if self._trial.should_prune():
                raise optuna.TrialPruned
        return "ndcg@10", self.values[-1], True

    def best_trees(self) -> int:
        """Return after how many trees it was best."""
        return int(np.argmax(self.values)) * STEP

    def stop(self, _environment: Any) -> None:
        """End a fit that has not become better for PATIENCE reports.

        Raises:
            EarlyStopException: It has not.
        """
        from lightgbm.callback import EarlyStopException

        if self._n_trees - self.best_trees() >= PATIENCE * STEP:
            raise EarlyStopException(self.best_trees() - 1, [])


def objective(bench: Bench) -> Callable[["optuna.Trial"], float]:
    """Return what Optuna maximises: the best validation NDCG@10 over the number of trees."""
    import lightgbm

    def run(trial: "optuna.Trial") -> float:
        started, judge = perf_counter(), Judge(bench, trial)
        train, validation = bench.sets[trial.suggest_categorical("list_length", LIST_LENGTHS)]
        try:
            lightgbm.train(
                {**FIXED, **suggest(trial), "seed": bench.seed, "metric": "none"},
                train,
                num_boost_round=MOST_TREES,
                valid_sets=[validation],
                feval=judge,
                callbacks=[judge.stop],
                keep_training_booster=True,
            )
        finally:
            trial.set_user_attr("trees", judge.best_trees())
            trial.set_user_attr("seconds", round(perf_counter() - started, 1))
        log.info("trial %d: %.5f, %s", trial.number, max(judge.values), trial.user_attrs)
        return max(judge.values)

    return run


def study_in(folder: Path, seed: int) -> "optuna.Study":
    """Return the study kept in a folder; a new one begins with the settings in use."""
    import optuna

    tpe = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
    study = optuna.create_study(
        study_name=f"lightgbm-{SHARE}",
        storage=f"sqlite:///{folder / 'trials.db'}",
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.PartialFixedSampler({"list_length": LIST_LENGTHS[0]}, tpe),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
    )
    if not study.trials:
        study.enqueue_trial({**START, "list_length": LIST_LENGTHS[0]})
    return study


def result_of(study: "optuna.Study") -> dict[str, Any]:
    """Return what boosting.json says: every trial, and the best."""
    trials = [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "ndcg@10": None if trial.value is None else round(trial.value, 6),
            "settings": trial.params,
            **trial.user_attrs,
        }
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished()
    ]
    seconds = sum(trial.get("seconds", 0.0) for trial in trials)
    return {
        "trials": trials,
        "best": study.best_trial.number,
        "minutes": round(seconds / 60, 1),
        "share_of_users": 1 / SHARE,
    }


def features_in(folder: Path, day: date, params: Params) -> Features:
    """Return the features kept in a folder; computed when they are not."""
    path = folder / "features.npz"
    if not path.exists():
        Features.of(read_moment(day, params), params).save(path)
    return Features.read(path)


def main() -> None:
    """Search, and write every trial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24, help="in all, those of earlier runs too")
    parser.add_argument("--longer", action="store_true", help="the best settings on longer lists")
    parser.add_argument("--minutes", type=float, default=60, help="begin no trial after this")
    parser.add_argument("--day", type=date.fromisoformat, default=date(2017, 10, 9))
    parser.add_argument("--folder", type=Path, default=Path("models/boosting"))
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    params = read_params()
    features = features_in(asked.folder, asked.day, params)
    study = study_in(asked.folder, params.shop.seed)
    left = asked.trials - len([trial for trial in study.trials if trial.state.is_finished()])
    if left > 0:
        lengths = LIST_LENGTHS if asked.longer else LIST_LENGTHS[:1]
        bench = Bench.of(features, params.shop.seed, lengths)
        for length in lengths[1:]:
            study.enqueue_trial({**study.best_params, "list_length": length})
        study.optimize(objective(bench), n_trials=left, timeout=asked.minutes * 60)
    print(f"wrote {write_result('boosting', result_of(study))}")


if __name__ == "__main__":
    main()
