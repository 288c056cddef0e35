"""What the reranking rules cost: quality with `serving.distinct_titles` and `serving.bought_hours`.

    uv run python -m benchmarks.quality.reranking_rules

Asks the fitted candidate about every basket of the test window, and arranges its lists as the
endpoint does: with every history as it was, and as if nobody had ever bought anything.
Writes benchmarks/results/shelf_rules.json: per rule recall and NDCG at 10, the paired difference
to no rule, and how many items of a list read like one above them. Of what was bought again it
also tells after how many hours. Needs data/ and models/.
"""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.quality.cold_start import Asked, _histories, anonymous, truncated
from benchmarks.support.machine import write_result
from pipeline.contracts import artefacts
from pipeline.contracts.family_metrics import TrainingReport
from pipeline.contracts.params import Params, read_params
from pipeline.metrics import ranking
from pipeline.recommenders.base.recommender import Ranked, Recommender
from pipeline.recommenders.base.requests import Requests
from pipeline.recommenders.base.saved import load_recommender
from pipeline.recommenders.base.tables import read_examples, read_training_data
from pipeline.runtime.stage import quiet_tools
from pipeline.serving.explanations.catalogue import Catalogue, build_catalogue
from pipeline.serving.reranking.reranker import Reranker
from pipeline.serving.reranking.rules import Distinct, RerankingRules

K = 10
HOURS = (1.0, 3.0, 6.0, 12.0, 24.0)
HOURS_PER_DAY = 24.0
MEASURES = {"recall@10": ranking.recall_at_k, "ndcg@10": ranking.ndcg_at_k}


class Shelves:
    """Arranges the lists of some requests, and judges them."""

    def __init__(
        self, family: Recommender, asked: Asked, requests: Requests, catalogue: Catalogue
    ) -> None:
        """Keep what all rules share."""
        self._asked, self._requests = asked, requests
        self._titles = catalogue.title_code
        self._reranker = Reranker(
            catalogue.category_code.tolist(), None, catalogue.title_code.tolist()
        )
        self._before: dict[str, Any] = {}

        @cache
        def rank(width: int) -> tuple[Ranked, None]:
            return family.rank(requests, width), None

        self._rank = rank

    def measure(self, explore_slots: int, distinct: Distinct, hours: float) -> dict[str, Any]:
        """Return the numbers of one setting; the first that is asked for is what others lose to."""
        blocked = just_bought(self._requests, hours)
        rules = [
            RerankingRules(
                K,
                explore_slots,
                items,
                distinct_titles=distinct,
                is_new=not len(self._requests.item),
            )
            for items in blocked
        ]
        lists = self._reranker.rerank(self._rank, rules, [""] * len(rules)).chosen
        items = np.zeros((len(rules), K), dtype=np.int32)
        for row, chosen in enumerate(lists):
            items[row, : len(chosen)] = [choice.item for choice in chosen]
        hits = ranking.hit_matrix(items, self._asked.row, self._asked.item)
        found: dict[str, Any] = {"read_alike": round(alike(self._titles[items]), 3)}
        for name, at_k in MEASURES.items():
            values = at_k(hits, self._asked.n_true, K)
            before = self._before.setdefault(name, values)
            found[name] = {
                "value": float(np.nanmean(values)),
                **self._asked.bootstrap.paired(values, before),
            }
        values = title_recall(items, self._asked.row, self._asked.item, self._titles)
        before = self._before.setdefault("titles", values)
        paired = self._asked.bootstrap.paired(values, before)
        found["recall of titles@10"] = {"value": float(np.mean(values)), **paired}
        return found


def title_recall(
    shown: npt.NDArray[np.int32],
    row: npt.NDArray[np.signedinteger],
    item: npt.NDArray[np.int32],
    titles: npt.NDArray[np.int32],
) -> npt.NDArray[np.float64]:
    """Return per list the share of the titles in the basket that it shows.

    Args:
        shown: [n, K] item indices, 0 for none.
        row: [n_labels] the list that a label belongs to.
        item: [n_labels] item indices, 0 for one that is not known: it is in no list.
        titles: By item index, 0 for an item without a title of its own.

    >>> row, item = np.array([0, 0, 0]), np.array([2, 3, 0])
    >>> title_recall(np.array([[1, 0]]), row, item, np.array([0, 7, 7, 0])).round(4).tolist()
    [0.3333]
    """
    own = titles.max() + 1 + np.arange(len(titles))
    code = np.where(titles > 0, titles, own)
    listed = {(at, code[index]) for at, items in enumerate(shown) for index in items if index}
    bought = {
        (at, code[index] if index else -number)
        for number, (at, index) in enumerate(zip(row.tolist(), item.tolist(), strict=True))
    }
    n_bought, n_shown = np.zeros(len(shown)), np.zeros(len(shown))
    for at, title in bought:
        n_bought[at] += 1
        n_shown[at] += (at, title) in listed
    return n_shown / np.maximum(n_bought, 1)


def alike(titles: npt.NDArray[np.int32]) -> float:
    """Return how many items of a list, on average, read like one above them.

    >>> alike(np.array([[3, 3, 5, 3, 0, 0]]))
    2.0
    """
    named = [row[row > 0] for row in titles]
    return float(np.mean([len(row) - len(np.unique(row)) for row in named]))


def just_bought(requests: Requests, hours: float) -> list[frozenset[int]]:
    """Return per request the items bought in the last `hours`."""
    recent = requests.age_days <= hours / HOURS_PER_DAY if hours else np.zeros(0, dtype=bool)
    if not hours or not recent.any():
        return [frozenset()] * len(requests)
    found = []
    for start, stop in zip(requests.row_splits, requests.row_splits[1:], strict=False):
        part = slice(int(start), int(stop))
        found.append(frozenset(requests.item[part][recent[part]].tolist()))
    return found


def bought_again(asked: Asked) -> dict[str, Any]:
    """Return by hours how many labels were bought shortly before, of how many that could be."""
    found: dict[str, Any] = {}
    labels = set(zip(asked.row.tolist(), asked.item.tolist(), strict=True))
    for hours in HOURS:
        blocked = just_bought(asked.requests, hours)
        pairs = {(row, item) for row, items in enumerate(blocked) for item in items}
        found[str(hours)] = {
            "requests": sum(map(bool, blocked)),
            "items_bought_before": len(pairs),
            "of_them_bought_again": len(pairs & labels),
        }
    return found


def main() -> None:
    """Measure and write the result."""
    quiet_tools()
    params = read_params()
    name = artefacts.read_record(TrainingReport, artefacts.TRAINING_METRICS).family
    family = load_recommender(artefacts.CANDIDATES.existing() / name)
    found = {"model": name, **measure(family, params)}
    print(write_result("shelf_rules", found).read_text(encoding="utf-8"))


def measure(family: Recommender, params: Params) -> dict[str, Any]:
    """Return the numbers of the result."""
    from dataclasses import replace

    windows = params.shop.windows()
    shop = read_training_data(params.shop, windows.test_start, learn_from=("train",))
    later = read_training_data(params.shop, windows.as_of, learn_from=("train",))
    later = replace(later, vocabulary=shop.vocabulary, histories=_histories(later, shop))
    examples = read_examples("test")
    examples = examples[examples["protocol"] == "rolling"].reset_index(drop=True)
    as_of = pd.Timestamp(windows.test_start).to_pydatetime()
    catalogue = build_catalogue(shop.items, shop.histories, as_of=as_of)
    asked = Asked(examples, later, params)
    slots = params.serving.explore_slots
    known = Shelves(family, asked, asked.requests, catalogue)
    new = Shelves(family, asked, anonymous(truncated(asked.requests, 0)), catalogue)
    found: dict[str, Any] = {
        "n_requests": len(asked.requests),
        "bought_again": bought_again(asked),
        "known": {"no rule": known.measure(slots, "off", 0.0)},
        "new": {"no rule": new.measure(slots, "off", 0.0)},
    }
    found["new"]["distinct titles"] = new.measure(slots, "all", 0.0)
    found["known"]["distinct titles"] = known.measure(slots, "all", 0.0)
    for hours in HOURS:
        found["known"][f"bought {hours:g} hours"] = known.measure(slots, "off", hours)
    return found


if __name__ == "__main__":
    main()
