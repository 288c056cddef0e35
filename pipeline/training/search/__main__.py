"""Tuning: better hyper-parameters of the ranker are searched by Optuna on validation.

    uv run python -m pipeline.training.search mlp --trials 30

Reads:  data/clean; data/labelled/examples.parquet
Writes: models/tuning.db (a search that was interrupted goes on from it); reports/tuning/index.html;
        the best values into params.yaml, with a comment of where they come from
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
    """Search, write what was found."""
    parser = argparse.ArgumentParser(
        prog="uv run python -m pipeline.training.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("family", nargs="?", default="mlp", help="which history encoder")
    parser.add_argument(
        "--trials", type=int, default=DEFAULT_TRIALS, help="in all, earlier ones too"
    )
    asked = parser.parse_args(argv)
    return run_command("tuning", lambda params: tune(asked.family, asked.trials, params))


def tune(family: str, n_trials: int, params: Params) -> int:
    """Search over `family` until the study holds `n_trials`."""
    from pipeline.recommenders.base.tables import read_training_data
    from pipeline.training.search import outcome, search

    check_gate("tuning", "labeling")
    shop = read_training_data(params.shop, params.shop.windows().test_start, learn_from=("train",))

    def tell(number: int, chosen: dict[str, Any], found: dict[str, float]) -> None:
        with track_phase("training", params, f"trial {number}") as run:
            run.log_params({f"tuned.{name}": value for name, value in chosen.items()})
            run.log_metrics(found)
        log.info("trial %d: %s", number, found)

    with search.opened(family, params.shop.seed) as study:
        search.start_from(study, params.families.ranker)
        search.search(study, lambda: search.bench_of(family, shop, params), n_trials, tell)
        found = search.chosen_trial(study)
        outcome.page(study, found).write(PAGE)
        day = datetime.now(UTC).date().isoformat()
        origin = (
            f"{family}: from `make tune` on {day}, trial {found.number} of {len(study.trials)}, "
            f"validation NDCG@10 {found.value:.4f}"
        )
        outcome.write_params(PARAMS_PATH, search.values_of(found), origin)
    log.info("tuning: %s. Look at %s, then run `uv run dvc repro`.", origin, PAGE)
    return 0


if __name__ == "__main__":
    exit_with(main)
