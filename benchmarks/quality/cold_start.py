"""What a shopper gets who is new: real histories cut to their last 0, 1, 2 or 5 baskets.

    uv run python -m benchmarks.quality.cold_start

Asks the fitted candidates of `dvc repro training` about the baskets of the test window, once with
and once without demographics, beside the popular list and the list that is popular among people
of the same demographics. Also: products that are new themselves. Needs data/ and models/.
Writes benchmarks/results/cold_start.json and docs/cold-start.md.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.support.machine import write_result
from pipeline.contracts import artefacts
from pipeline.contracts.family_metrics import TrainingReport
from pipeline.contracts.params import Params, read_params
from pipeline.metrics import ranking
from pipeline.metrics.bootstrap import Bootstrap
from pipeline.recommenders.base.recommender import Recommender
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.saved import load_recommender
from pipeline.recommenders.base.tables import read_examples, read_training_data
from pipeline.recommenders.base.training_data import TrainingData, encode_labels
from pipeline.recommenders.base.wall_clock import DAY
from pipeline.runtime.stage import quiet_tools
from pipeline.testing.protocols import KNOWN, ROLLING

K = 10
KEPT_BASKETS = (0, 1, 2, 5)
NEW_DAYS = 28
SMOOTHING = 200.0
PAGE = Path("docs/cold-start.md")

Doubles = npt.NDArray[np.float64]
Items = npt.NDArray[np.int32]


def truncated(requests: Requests, n_baskets: int) -> Requests:
    """Return the requests with only the latest `n_baskets` of each history."""
    kept = requests.baskets_ago < n_baskets
    row = np.repeat(np.arange(len(requests)), np.diff(requests.row_splits))[kept]
    per_line = ("item", "age_days", "baskets_ago", "quantity", "price", "store", "hour_of_week")
    return replace(
        requests,
        row_splits=np.searchsorted(row, np.arange(len(requests) + 1)),
        **{name: getattr(requests, name)[kept] for name in per_line},
    )


def anonymous(requests: Requests) -> Requests:
    """Return the requests without demographics."""
    return replace(requests, user_attributes=np.zeros_like(requests.user_attributes))


class DemographicPopularity:
    """Popularity among people like the shopper: each known attribute lifts or lowers an item.

    score = log share of purchases + mean over the known attributes of the log lift of the item
    among people with that code, smoothed towards no lift.
    """

    def __init__(self, shop: TrainingData, days: int) -> None:
        """Count who bought what in the last `days` before the cut-off."""
        histories, n_items = shop.histories, len(shop.vocabulary)
        user = np.repeat(np.arange(len(histories.user_ids)), np.diff(histories.row_splits))
        recent = histories.time >= shop.cutoff - days * DAY
        user, item = user[recent], histories.item[recent]
        total = np.bincount(item, minlength=n_items).astype(float)
        share = (total + 0.5) / (total.sum() + 0.5 * n_items)
        self._log_share = np.log(share)
        self._log_share[0] = -np.inf
        codes = shop.attributes.reindex(list(histories.user_ids)).fillna(0).to_numpy(dtype=int)
        self._lifts: list[Doubles] = []
        for column in range(codes.shape[1]):
            code = codes[user, column]
            table = np.zeros((codes[:, column].max() + 1, n_items))
            np.add.at(table, (code, item), 1.0)
            expected = table.sum(axis=1, keepdims=True) * share
            lift = np.log((table + SMOOTHING * share) / (expected + SMOOTHING * share))
            lift[0] = 0.0
            self._lifts.append(lift)

    def top(self, requests: Requests) -> Items:
        """Return [n, K] item indices."""
        codes, found = requests.user_attributes, np.zeros((len(requests), K), dtype=np.int32)
        groups, group = np.unique(codes, axis=0, return_inverse=True)
        for at, combination in enumerate(groups):
            known = [
                lift[code] for lift, code in zip(self._lifts, combination, strict=True) if code
            ]
            score = self._log_share + (np.mean(known, axis=0) if known else 0.0)
            found[group == at] = np.lexsort((np.arange(len(score)), -score))[:K]
        return found


def measure(
    questions: "Asked", top: Callable[[Requests], Items], requests: Requests
) -> dict[str, Any]:
    """Return recall@10 and NDCG@10 of all requests, with intervals over users."""
    hits = ranking.hit_matrix(top(requests), questions.row, questions.item)
    found: dict[str, Any] = {}
    for name, values in {
        f"recall@{K}": ranking.recall_at_k(hits, questions.n_true, K),
        f"ndcg@{K}": ranking.ndcg_at_k(hits, questions.n_true, K),
    }.items():
        low, high = questions.bootstrap.interval(values)
        found[name] = {"value": float(np.nanmean(values)), "low": low, "high": high}
    return found


class Asked:
    """The baskets of the test window that are asked about, and what was in them."""

    def __init__(self, examples: pd.DataFrame, shop: TrainingData, params: Params) -> None:
        """Keep the labels and draw users for the intervals."""
        self.requests = shop.build_requests(examples)
        self.row, self.item = encode_labels(examples, shop.vocabulary)
        self.n_true = examples["labels"].map(len).to_numpy()
        user = np.unique(examples["user_id"].to_numpy(dtype=object), return_inverse=True)[1]
        testing = params.testing
        self.bootstrap = Bootstrap.of(
            user, testing.bootstrap_samples, testing.confidence, params.shop.seed
        )


def lists_of(recommender: Recommender) -> Callable[[Requests], Items]:
    """Return a function from requests to the recommender's plain lists."""
    return lambda requests: recommender.recommend(requests, K).items


def new_shoppers(
    asked: Asked, methods: dict[str, Callable[[Requests], Items]]
) -> dict[str, dict[str, Any]]:
    """Return the quality of every method by what is left of the history."""
    found: dict[str, dict[str, Any]] = {}
    for n in KEPT_BASKETS:
        cut = truncated(asked.requests, n)
        found[str(n)] = {}
        for name, top in methods.items():
            found[str(n)][name] = measure(asked, top, cut)
            found[str(n)][f"{name}, anonymous"] = measure(asked, top, anonymous(cut))
            print(f"{n} baskets, {name}: {found[str(n)][name]}", flush=True)
    return found


def new_products(
    asked: Asked, shop: TrainingData, family: Recommender, popular: Recommender
) -> dict[str, Any]:
    """Return how often products find their buyers that were first sold in the last NEW_DAYS."""
    first = np.full(len(shop.vocabulary), np.inf)
    before = shop.histories.time < shop.cutoff
    np.minimum.at(first, shop.histories.item[before], shop.histories.time[before])
    is_new = first >= shop.cutoff - NEW_DAYS * DAY
    is_new[0] = False
    chosen = is_new[asked.item]
    n_new = np.bincount(asked.row[chosen], minlength=len(asked.requests))
    found: dict[str, Any] = {
        "share_of_labels_new": float(chosen.mean()),
        "share_of_labels_unknown": float((asked.item == 0).mean()),
    }
    for method in (family, popular):
        shown = method.rank(asked.requests, K).explore_items
        hits = ranking.hit_matrix(shown, asked.row[chosen], asked.item[chosen])
        values = ranking.recall_at_k(hits, n_new, K)
        low, high = asked.bootstrap.interval(values)
        found[method.name] = {
            "recall@10": float(np.nanmean(values)),
            "low": low,
            "high": high,
            "share_of_slots": float(is_new[shown].mean()),
        }
    return found


def table(found: dict[str, Any]) -> str:
    """Return docs/cold-start.md."""
    head = (
        "# New shoppers and new products\n\n"
        "All baskets of shoppers with demographics in the test window, with their history cut to "
        f"its latest baskets. {KNOWN[ROLLING]} recall@{K} with 95 % intervals over shoppers. "
        "Written by "
        "`uv run python -m benchmarks.quality.cold_start`.\n\n"
    )
    methods = list(next(iter(found["new_shoppers"].values())))
    lines = [
        "| history | " + " | ".join(methods) + " |",
        "|---|" + "---|" * len(methods),
    ]
    for n, values in found["new_shoppers"].items():
        cells = []
        for name in methods:
            number = values[name][f"recall@{K}"]
            cells.append(f"{number['value']:.4f} [{number['low']:.4f}, {number['high']:.4f}]")
        lines.append(f"| {n} baskets | " + " | ".join(cells) + " |")
    products = found["new_products"]
    told = (
        f"Products first sold in the {NEW_DAYS} days before the cut-off are "
        f"{products['share_of_labels_new']:.1%} of purchases. Products never sold before it are "
        f"{products['share_of_labels_unknown']:.1%}; no model can recommend them before a refit. "
        "New products of the first kind in the explore list:"
    )
    lines += [
        "",
        told,
        "",
        f"| method | recall@{K} | share of the slots |",
        "|---|---|---|",
    ]
    for name, value in products.items():
        if isinstance(value, dict):
            lines.append(
                f"| {name} | {value['recall@10']:.4f} [{value['low']:.4f}, {value['high']:.4f}] "
                f"| {value['share_of_slots']:.2%} |"
            )
    return head + "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the result."""
    quiet_tools()
    params = read_params()
    windows = params.shop.windows()
    shop = read_training_data(params.shop, windows.test_start, learn_from=("train",))
    later = read_training_data(params.shop, windows.as_of, learn_from=("train",))
    folder = artefacts.CANDIDATES.existing()
    name = artefacts.read_record(TrainingReport, artefacts.TRAINING_METRICS).family
    family, popular = (load_recommender(folder / each) for each in (name, "popular"))
    examples = read_examples("test")
    examples = examples[examples["protocol"] == "rolling"]
    everyone = examples.reset_index(drop=True)
    known = examples[examples["user_id"].isin(shop.attributes.index)].reset_index(drop=True)
    later = replace(later, vocabulary=shop.vocabulary, histories=_histories(later, shop))
    demographic = DemographicPopularity(shop, params.families.popular_days)
    methods = {
        name: lists_of(family),
        "popular": lists_of(popular),
        "popular among alike": demographic.top,
    }
    found = {
        "n_requests": len(known),
        "new_shoppers": new_shoppers(Asked(known, later, params), methods),
        "new_products": new_products(Asked(everyone, later, params), shop, family, popular),
    }
    write_result("cold_start", found)
    PAGE.write_text(table(found), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


def _histories(later: TrainingData, shop: TrainingData) -> Any:
    """Return the histories up to the end of the test window, in the candidate's vocabulary."""
    from pipeline.recommenders.base.histories import build_histories
    from pipeline.recommenders.base.tables import EVENT_COLUMNS

    events = artefacts.read_table(artefacts.EVENTS, columns=EVENT_COLUMNS)
    cutoff = pd.Timestamp(later.cutoff, unit="s", tz="UTC")
    return build_histories(events[events["timestamp"] < cutoff], shop.vocabulary)


if __name__ == "__main__":
    main()
