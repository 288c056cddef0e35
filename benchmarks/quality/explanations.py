"""Check the reasons in the answers by deletion: without what it names, does the score fall?

    uv run python -m benchmarks.quality.explanations [--model mlp] [--requests 500]

Takes requests of the validation window, every third with an item of the basket in the cart, the
family in models/families, and the reasons as the endpoint gives them. Writes
benchmarks/results/explanations.json: per kind of reason how many were told and checked, the share
whose deletion lowers the score, and the mean fall; the same by the place of the reason in the
answer; and the median milliseconds per request with and without explanation.
"""

import argparse
import time
from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.quality.deletion import fall
from benchmarks.support.machine import write_result
from pipeline.contracts.artefacts import family
from pipeline.contracts.params import Params, read_params
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.saved import GraphRecommender, load_recommender
from pipeline.recommenders.base.tables import read_training_data
from pipeline.runtime.stage import quiet_tools
from pipeline.serving.explanations.catalogue import build_catalogue
from pipeline.serving.explanations.reasons import ReasonBuilder

K = 10
EXPLORE = 2
CART_EVERY = 3
WARM_UP, TIMED = 20, 200


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=None, help="Name of a family.")
    parser.add_argument("--requests", type=int, default=500, help="How many.")
    asked = parser.parse_args()
    quiet_tools()
    params = read_params()
    name = asked.model or params.training.families[0]
    recommender = load_recommender(family(name).path)
    numbers = {"model": name, **measure(recommender, params, asked.requests)}
    print(write_result("explanations", numbers).read_text(encoding="utf-8"))


def measure(recommender: GraphRecommender, params: Params, n: int) -> dict[str, Any]:
    """Return the numbers of the result for `n` requests of the validation window."""
    windows = params.shop.windows()
    shop = read_training_data(params.shop, windows.test_start, learn_from=("train",))
    rolling = shop.validation[shop.validation["protocol"] == "rolling"]
    examples = rolling.iloc[:: max(1, len(rolling) // n)].iloc[:n].reset_index(drop=True)
    carts = [
        list(labels[:1]) if at % CART_EVERY == 0 else []
        for at, labels in enumerate(examples["labels"])
    ]
    examples = examples.assign(cart=pd.Series(carts, dtype=object))
    catalogue = build_catalogue(
        shop.items, shop.histories, as_of=pd.Timestamp(windows.test_start).to_pydatetime()
    )
    requests = shop.build_requests(examples)
    rows = []
    for at in range(len(requests)):
        one = requests.part(at, at + 1)
        found, explanations = recommender.explain(one, K, explore_slots=EXPLORE)
        reasons = ReasonBuilder(one, catalogue)
        for rank, item in enumerate(found.items[0].tolist()):
            given = reasons.build(item, *explanations.of(0, rank)) if item else []
            for place, reason in enumerate(given, start=1):
                fell = fall(recommender, one, item, reason.kind, catalogue)
                rows.append((reason.kind, place, int(found.slots[0, rank]), fell))
    told = pd.DataFrame(rows, columns=["kind", "place", "slot", "fall"])
    checked = told.dropna()
    return {
        "n_requests": len(requests),
        "n_reasons": len(told),
        "n_checked": len(checked),
        "share_that_lowers": share_that_lowers(checked),
        "by_kind": _by(told, "kind"),
        "by_place": _by(told, "place"),
        "milliseconds": timings(recommender, requests),
    }


def share_that_lowers(checked: pd.DataFrame) -> float:
    """Return the share of the reasons without which the score is lower."""
    return round(float((checked["fall"] > 0).mean()), 4)


def _by(told: pd.DataFrame, column: str) -> dict[str, Any]:
    found: dict[str, dict[str, float]] = {}
    for name, rows in told.groupby(column):
        checked = rows.dropna()
        found[str(name)] = {"n_told": len(rows), "n_checked": len(checked)}
        if len(checked):
            fell = checked["fall"].replace(np.inf, np.nan)
            found[str(name)] |= {
                "share_that_lowers": share_that_lowers(checked),
                "mean_fall": round(float(fell.mean()), 4),
            }
    return found


def timings(recommender: GraphRecommender, requests: Requests) -> dict[str, float]:
    """Return the median milliseconds of one request, the two ways in turns."""
    ways: dict[str, Any] = {"plain": recommender.recommend, "explained": recommender.explain}
    seconds = defaultdict(list)
    for at in range(WARM_UP + TIMED):
        one = requests.part(at % len(requests), at % len(requests) + 1)
        for way, call in ways.items():
            started = time.perf_counter()
            call(one, K, explore_slots=EXPLORE)
            seconds[way].append(time.perf_counter() - started)
    found = {way: float(np.median(values[WARM_UP:])) * 1e3 for way, values in seconds.items()}
    return {way: round(value, 2) for way, value in found.items()}


if __name__ == "__main__":
    main()
