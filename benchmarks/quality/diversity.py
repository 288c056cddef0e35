"""What a diverse list costs: quality of the answers by `serving.diversity`.

    uv run python -m benchmarks.quality.diversity

Asks the fitted candidate of `dvc repro training` about each shopper's first basket of the test
window, and arranges its lists as the endpoint does. Needs data/ and models/.
Writes benchmarks/results/diversity.json: per setting recall and NDCG at 10, the paired
difference to no diversity, and how many categories a list shows.
"""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.quality.cold_start import Asked
from benchmarks.support.machine import write_result
from pipeline.contracts import artefacts
from pipeline.contracts.family_metrics import TrainingReport
from pipeline.contracts.params import Params, read_params
from pipeline.metrics import ranking
from pipeline.recommenders.base.recommender import Ranked, Recommender
from pipeline.recommenders.base.saved import load_recommender
from pipeline.recommenders.base.tables import read_examples, read_training_data
from pipeline.runtime.stage import quiet_tools
from pipeline.serving.explanations.catalogue import build_catalogue
from pipeline.serving.reranking.reranker import Reranker
from pipeline.serving.reranking.rules import RerankingRules

K = 10
LEVELS = (0.0, 0.5, 0.7, 0.8, 0.9)  # at most 10, 5, 3, 2, 1 of a category
MEASURES = {
    "recall@10": ranking.recall_at_k,
    "ndcg@10": ranking.ndcg_at_k,
}


def main() -> None:
    """Measure and write the result."""
    quiet_tools()
    params = read_params()
    name = artefacts.read_record(TrainingReport, artefacts.TRAINING_METRICS).family
    family = load_recommender(artefacts.CANDIDATES.existing() / name)
    print(write_result("diversity", measure(family, params)).read_text(encoding="utf-8"))


def measure(family: Recommender, params: Params) -> dict[str, Any]:
    """Return the numbers of the result."""
    start = params.shop.windows().test_start
    shop = read_training_data(params.shop, start, learn_from=("train",))
    examples = read_examples("test")
    first = examples[examples["protocol"] == "first_basket"].reset_index(drop=True)
    asked = Asked(first, shop, params)
    as_of = pd.Timestamp(start).to_pydatetime()
    category = build_catalogue(shop.items, shop.histories, as_of=as_of).category_code.tolist()
    reranker = Reranker(category, None)

    @cache
    def rank(width: int) -> tuple[Ranked, None]:
        return family.rank(asked.requests, width), None

    found: dict[str, Any] = {}
    without: dict[str, Any] = {}
    for level in LEVELS:
        rules = [RerankingRules(K, params.serving.explore_slots, diversity=level)] * len(
            asked.requests
        )
        lists = reranker.rerank(rank, rules, [""] * len(rules)).chosen
        items = np.zeros((len(rules), K), dtype=np.int32)
        for row, chosen in enumerate(lists):
            items[row, : len(chosen)] = [choice.item for choice in chosen]
        hits = ranking.hit_matrix(items, asked.row, asked.item)
        shown = [len({category[item] for item in row if item}) for row in items.tolist()]
        numbers: dict[str, Any] = {"categories": round(float(np.mean(shown)), 2)}
        for measure_name, at_k in MEASURES.items():
            values = at_k(hits, asked.n_true, K)
            before = without.setdefault(measure_name, values)
            numbers[measure_name] = {
                "value": float(np.nanmean(values)),
                **asked.bootstrap.paired(values, before),
            }
        found[str(level)] = numbers
        print(f"{level}: {numbers}", flush=True)
    return {"model": family.name, "n_requests": len(rules), "by_diversity": found}


if __name__ == "__main__":
    main()
