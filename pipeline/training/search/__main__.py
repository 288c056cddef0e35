"""Tuning: search hyper-parameters of the ranker with Optuna on validation.

    uv run python -m pipeline.training.search mlp --trials 30

Reads:  data/clean; data/labelled/examples.parquet
Writes: models/tuning.db (an interrupted search resumes from it); reports/tuning/index.html;
        the best values into params.yaml, with a comment that names their origin
"""

import argparse
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.contracts.params import PARAMS_PATH, Params
from pipeline.runtime.gates import check_gate
from pipeline.runtime.stage import exit_with, run_command
from pipeline.runtime.tracking import track_phase

PAGE = Path("reports/tuning/index.html")
DEFAULT_TRIALS = 30

log = logging.getLogger("evergreen")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the arguments and run the search."""
    parser = argparse.ArgumentParser(
        prog="uv run python -m pipeline.training.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("family", nargs="?", default="mlp", help="which history encoder")
    parser.add_argument(
        "--trials", type=int, default=DEFAULT_TRIALS, help="total, earlier trials included"
    )
    arguments = parser.parse_args(argv)
    return run_command("tuning", lambda params: tune(arguments.family, arguments.trials, params))


def tune(family: str, n_trials: int, params: Params) -> int:
    """Search over `family` until the study holds `n_trials`."""
    from pipeline.recommenders.base.tables import read_training_data
    from pipeline.training.search import outcome, search

    check_gate("tuning", "labeling")
    data = read_training_data(params.shop, params.shop.windows().test_start, learn_from=("train",))

    def report_trial(number: int, chosen: dict[str, Any], metrics: dict[str, float]) -> None:
        with track_phase("training", params, f"trial {number}") as run:
            run.log_params({f"tuned.{name}": value for name, value in chosen.items()})
            run.log_metrics(metrics)
        log.info("trial %d: %s", number, metrics)

    with search.open_study(family, params.shop.seed) as study:
        search.enqueue_current(study, params.families.ranker)
        search.search(
            study, lambda: search.build_bench(family, data, params), n_trials, report_trial
        )
        trial = search.choose_trial(study)
        outcome.build_page(study, trial).write(PAGE)
        day = datetime.now(UTC).date().isoformat()
        origin = (
            f"{family}: from `make tune` on {day}, trial {trial.number} of {len(study.trials)}, "
            f"validation NDCG@10 {trial.value:.4f}"
        )
        outcome.write_params(PARAMS_PATH, search.trial_values(trial), origin)
    log.info("tuning: %s. Open %s, then run `uv run dvc repro`.", origin, PAGE)
    return 0


if __name__ == "__main__":
    exit_with(main)
