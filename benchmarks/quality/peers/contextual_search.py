"""A search over the parameters of the contextual baseline by Optuna, on the validation window.

    uv run python -m benchmarks.quality.peers.contextual_search --trials 40

The first trials hold the contrast: plain decayed frequency with several time constants. Judged by
rolling NDCG@10 of every SHARE-th shopper in the validation window; the test windows are never
seen. Writes benchmarks/results/contextual.json; the values in use are in params.yaml.
"""

import argparse
from collections.abc import Callable
from datetime import date
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.quality.peers.boosting_search import every_th
from benchmarks.quality.peers.moment import Moment, read_moment
from benchmarks.support.machine import write_result
from pipeline.contracts.params import BaselineParams, read_params
from pipeline.recommenders.base.requests import join
from pipeline.recommenders.base.training_data import ExampleBatch
from pipeline.training.fit.candidates import build_baseline_recommender, measure_quality

if TYPE_CHECKING:
    import optuna

SHARE = 4  # of shoppers, one in so many
PLAIN_DAYS = (60.0, 120.0, 240.0)


def part_of(moment: Moment, share: int) -> ExampleBatch:
    """Return the rolling questions of every `share`-th shopper."""
    asked = moment.questions["rolling"]
    chosen = every_th(asked.examples["user_id"], share)
    examples = asked.examples[chosen].reset_index(drop=True)
    parts = [asked.requests.part(at, at + 1) for at in np.flatnonzero(chosen).tolist()]
    return ExampleBatch(examples, join(parts))


def objective(
    moment: Moment, asked: ExampleBatch, params: BaselineParams
) -> Callable[["optuna.Trial"], float]:
    """Return what Optuna maximises."""

    def run(trial: "optuna.Trial") -> float:
        chosen = {
            "contextual_decay_days": trial.suggest_float("decay_days", 40, 400, log=True),
            "contextual_hour_width": trial.suggest_float("hour_width", 0.5, 6.0),
            "contextual_other_hour": trial.suggest_float("other_hour", 0.0, 1.0),
            "contextual_other_day": trial.suggest_float("other_day", 0.0, 1.0),
            "contextual_other_store": trial.suggest_float("other_store", 0.0, 1.0),
        }
        baseline = build_baseline_recommender(
            "contextual", moment.shop, params.model_copy(update=chosen)
        )
        found = measure_quality(baseline, moment.shop, asked)
        trial.set_user_attr("recall@10", round(found["recall@10"], 6))
        print(trial.number, trial.params, found, flush=True)
        return found["ndcg@10"]

    return run


def main() -> None:
    """Search, and write every trial."""
    import optuna

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--day", type=date.fromisoformat, default=date(2017, 10, 9))
    asked = parser.parse_args()
    params = read_params()
    moment = read_moment(asked.day, params)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=params.shop.seed, n_startup_trials=8)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    same = {"hour_width": 2.0, "other_hour": 1.0, "other_day": 1.0, "other_store": 1.0}
    for days in PLAIN_DAYS:
        study.enqueue_trial({"decay_days": days, **same})
    started = perf_counter()
    objective_of = objective(moment, part_of(moment, SHARE), params.training.baselines)
    study.optimize(objective_of, n_trials=asked.trials)
    trials = [
        {"ndcg@10": round(t.values[0], 6), "parameters": t.params, **t.user_attrs}
        for t in study.trials
    ]
    minutes = round((perf_counter() - started) / 60, 1)
    numbers = {"trials": trials, "best": study.best_trial.number, "minutes": minutes}
    print(f"wrote {write_result('contextual', numbers | {'share_of_users': 1 / SHARE})}")


if __name__ == "__main__":
    main()
