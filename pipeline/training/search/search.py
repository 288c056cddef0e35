"""Search the ranker's hyper-parameters with Optuna: resumable, with early pruning.

Features are computed once; a trial only fits the network. Its value is the best rolling validation
NDCG@10; the search never uses the test window. An SQLite file stores every trial, so that an
interrupted search resumes.

References:
    Akiba et al., 2019, "Optuna", arXiv:1907.10902; Bergstra et al., 2011 (TPE).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from pipeline.contracts.errors import TrainingError
from pipeline.contracts.params import FamiliesParams, Params, RankerParams
from pipeline.recommenders.base.training_data import TrainingData
from pipeline.recommenders.fitting.family import validation_start
from pipeline.recommenders.fitting.fit import clear_checkpoints, key_of
from pipeline.recommenders.names import HISTORY_ENCODERS
from pipeline.recommenders.ranker.examples import RepeatPairs
from pipeline.recommenders.ranker.fitting import build_training_pairs
from pipeline.recommenders.ranker.graph import RankerGraph, build_item_tables, code_counts
from pipeline.recommenders.ranker.repeat_fit import (
    Lists,
    RepeatValidation,
    build_fresh_network,
    fit_network,
)

if TYPE_CHECKING:
    import optuna

STORAGE = Path("models/tuning.db")
STARTUP_TRIALS = 5
SPACE = 2  # version of the search space: a study must not mix trials of different networks
SAME_NDCG = 0.0002  # two seeds differ by more: docs/experiments.md
N_WEIGHTS = "n_weights"

ReportTrial = Callable[[int, dict[str, Any], dict[str, float]], None]


@dataclass(frozen=True)
class Bench:
    """Inputs shared by all trials.

    Attributes:
        family: Name of the history encoder.
        train: Training pairs.
        validation: Validation pairs.
        n_kinds: Number of product types.
        params: Values of the parameters outside the search.
        seed: Seed of every trial.
    """

    family: str
    train: RepeatPairs
    validation: RepeatValidation
    n_kinds: int
    params: RankerParams
    seed: int

    @classmethod
    def of(cls, family: str, data: TrainingData, params: FamiliesParams, seed: int) -> "Bench":
        """Compute the features of all examples.

        Raises:
            TrainingError: The family is no history encoder of the ranker.
        """
        if family not in HISTORY_ENCODERS:
            raise TrainingError(
                f"a history encoder among {', '.join(HISTORY_ENCODERS)} for tuning",
                received=f"'{family}'",
                action="Name one: `uv run python -m pipeline.training.search mlp`.",
            )
        tables = build_item_tables(data, validation_start(data), params.popular_days)
        graph = RankerGraph(tables, params.ranker, code_counts(data), seed)
        train = build_training_pairs(data, graph, params)
        validation = RepeatValidation.of(graph, data, params.ranker)
        return cls(family, train, validation, graph.features.n_types, params.ranker, seed)


def suggest(trial: "optuna.Trial") -> dict[str, Any]:
    """Return the suggested values by their names in `families.ranker`."""
    first = trial.suggest_int("first_hidden", 32, 512, log=True)
    second = trial.suggest_int("second_hidden", 16, 256, log=True)
    return {
        "hidden_dims": (first, second),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "kind_dim": trial.suggest_int("kind_dim", 2, 32, log=True),
        "encoder_dim": trial.suggest_int("encoder_dim", 4, 64, log=True),
        "cross_rank": trial.suggest_int("cross_rank", 8, 128, log=True),
        "batch_size": trial.suggest_int("batch_size", 16, 1024, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
    }


class PruningValidation:
    """Reports each epoch's validation score to Optuna, and prunes a trial that falls behind."""

    def __init__(self, validation: RepeatValidation, trial: "optuna.Trial") -> None:
        """Wrap the validation of a trial."""
        self._validation, self._trial, self._epoch = validation, trial, 0

    def of_network(self, network: Any) -> Callable[[], float]:
        """Return a function that scores the network and reports it."""
        import optuna

        score = self._validation.of_network(network)

        def report() -> float:
            value = score()
            self._epoch += 1
            self._trial.report(value, self._epoch)
            if self._trial.should_prune():
                raise optuna.TrialPruned
            return value

        return report


def build_objective(bench: Bench, report_trial: ReportTrial) -> Callable[["optuna.Trial"], float]:
    """Return the objective: the best validation NDCG@10 of a trial's network."""

    def run(trial: "optuna.Trial") -> float:
        chosen = suggest(trial)
        params = bench.params.model_copy(update=chosen)
        keras.utils.set_random_seed(bench.seed)
        network = build_fresh_network(bench.train, bench.n_kinds, params, bench.family)
        trial.set_user_attr(N_WEIGHTS, network.count_params())
        fitted = fit_network(
            f"trial_{trial.number}",
            network,
            Lists(bench.train),
            PruningValidation(bench.validation, trial),
            params,
            seed=bench.seed,
            epochs=None,
            key=key_of(params, bench.family, bench.seed, trial.number),
        )
        clear_checkpoints()
        value = float(fitted.curve[fitted.epochs - 1]["validation"])
        report_trial(trial.number, chosen, {"ndcg@10": value, "epochs": fitted.epochs})
        return value

    return run


@contextmanager
def open_study(family: str, seed: int, path: Path = STORAGE) -> "Iterator[optuna.Study]":
    """Yield the study of a family, loaded from the file if it exists there.

    Args:
        family: Name of the family.
        seed: Seed of the sampler.
        path: SQLite file.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    yield optuna.create_study(
        study_name=f"{family}-{SPACE}",
        storage=f"sqlite:///{path}",
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
    )


def enqueue_current(study: "optuna.Study", params: RankerParams) -> None:
    """Enqueue the current values as the first trial of a new search."""
    if study.trials:
        return
    study.enqueue_trial(
        {
            "first_hidden": params.hidden_dims[0],
            "second_hidden": params.hidden_dims[-1],
            **{
                name: getattr(params, name)
                for name in ("dropout", "kind_dim", "encoder_dim", "cross_rank", "batch_size")
            },
            "learning_rate": params.learning_rate,
            "weight_decay": params.weight_decay,
        },
        skip_if_exists=True,
    )


def search(
    study: "optuna.Study", bench: Callable[[], Bench], n_trials: int, report_trial: ReportTrial
) -> None:
    """Run trials until the study holds `n_trials` completed or pruned ones.

    Args:
        study: From `open_study`.
        bench: Builds the shared inputs; called only if trials are left.
        n_trials: Total number of trials, those of earlier runs included.
        report_trial: Called after each completed trial.
    """
    import optuna

    ended = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    left = n_trials - sum(trial.state in ended for trial in study.trials)
    if left > 0:
        study.optimize(
            build_objective(bench(), report_trial), n_trials=left, show_progress_bar=True
        )


def choose_trial(study: "optuna.Study") -> "optuna.trial.FrozenTrial":
    """Return the trial with the smallest network within SAME_NDCG of the best value."""
    import optuna

    ended = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    as_good = [trial for trial in ended if (trial.value or 0.0) >= study.best_value - SAME_NDCG]
    return min(as_good, key=lambda trial: trial.user_attrs[N_WEIGHTS])


def trial_values(trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    """Return the values of a trial by their names in `families.ranker`."""
    import optuna

    return suggest(optuna.trial.FixedTrial(trial.params))


def build_bench(family: str, data: TrainingData, params: Params) -> Bench:
    """Return the bench of a family with the parameters of params.yaml."""
    return Bench.of(family, data, params.families, params.shop.seed)
