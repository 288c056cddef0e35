"""Every method that is measured: its name, how it is fitted at a cut-off, and what that needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.support.own_process import PROJECT
from pipeline.contracts import artefacts
from pipeline.contracts.errors import TrainingError
from pipeline.contracts.params import FamiliesParams, Params
from pipeline.recommenders.base.saved import load_recommender, read_description
from pipeline.recommenders.names import BASELINES, FAMILIES
from pipeline.testing.measure import EvaluationSet, Predictions

if TYPE_CHECKING:
    from benchmarks.quality.peers.moment import Moment
    from pipeline.recommenders.base.saved import GraphRecommender

SHORTER_DECAY_DAYS = 60.0
BASKET_PEERS = ("cornac_tifu_knn", "cornac_up_cf", "cornac_gp_top")
MATRIX_PEERS = ("implicit_als", "implicit_bpr", "implicit_item_knn")
COUNTING = (*BASELINES, "decayed_60")
BOOSTING = {"lightgbm": (), "lightgbm_without_offers": ("offers",)}
PLAIN_FAMILIES = (
    "none",
    "cnn",
    "gru",
)  # of the reference numbers: no encoder of ages, two encoders
PACKAGES = {"cornac": "cornac", "implicit": "implicit", "lightgbm": "lightgbm"}
PEERS = "benchmarks/quality/peers"
SOURCES = (
    *(f"{PEERS}/{module}.py" for module in ("methods", "moment", "run", "types")),
    "pipeline/recommenders",
    "pipeline/metrics/ranking.py",
    "pipeline/testing/measure.py",
    "pipeline/training/refit.py",
)

Answer = Callable[[EvaluationSet, int], Predictions]


@dataclass(frozen=True)
class FittedMethod:
    """A method at a cut-off.

    Attributes:
        answer: From questions and k to lists of k products.
        notes: How it was fitted.
    """

    answer: Answer
    notes: dict[str, Any] = field(default_factory=dict)


def method_names(families: tuple[str, ...]) -> tuple[str, ...]:
    """Return all methods: counting, peers, and the families that are fitted here."""
    ours = tuple(dict.fromkeys([*families, *PLAIN_FAMILIES]))
    return (*COUNTING, *BASKET_PEERS, *MATRIX_PEERS, *BOOSTING, *ours)


def sources_of(name: str) -> tuple[str, ...]:
    """Return the files and folders of the repository that decide a method's result."""
    peers = {**dict.fromkeys(BASKET_PEERS, "baskets"), **dict.fromkeys(MATRIX_PEERS, "matrix")}
    peers |= dict.fromkeys(BOOSTING, "boosting")
    if name in peers:
        return (*SOURCES, f"{PEERS}/peer.py", f"{PEERS}/{peers[name]}.py")
    return SOURCES


def fit_method(
    name: str, moment: "Moment", params: Params, epochs: Mapping[str, int] | None = None
) -> FittedMethod:
    """Return the method `name`, fitted on what is known at the cut-off.

    Args:
        name: Which.
        moment: The cut-off.
        params: Of everything.
        epochs: How long the parts of a family train; None to choose that on the last window.

    Raises:
        TrainingError: There is no such method, or its package is not installed.
    """
    _check(name)
    shop, seed, popular_days = moment.shop, params.shop.seed, params.families.popular_days
    if name in COUNTING:
        return FittedMethod(_counting(name, moment, params))
    if name in BASKET_PEERS:
        from benchmarks.quality.peers import baskets

        peer = baskets.fit_baskets(name, shop, popular_days=popular_days)
        return FittedMethod(peer.answer, {"settings": baskets.SETTINGS[name]})
    if name in MATRIX_PEERS:
        from benchmarks.quality.peers import matrix

        peer = matrix.fit_matrix(name, shop, popular_days=popular_days, seed=seed)
        return FittedMethod(peer.answer, {"settings": matrix.SETTINGS[name]})
    if name in BOOSTING:
        from benchmarks.quality.peers import boosting

        peer = boosting.fit_boosting(shop, params.families, seed=seed, without=BOOSTING[name])
        notes = {"settings": boosting.SETTINGS, "trees": boosting.N_TREES}
        notes |= {"list_length": boosting.LIST_LENGTH, "inputs": boosting.INPUTS}
        return FittedMethod(peer.answer, notes)
    return _family(name, moment, params, epochs)


def _check(name: str) -> None:
    known = (*COUNTING, *BASKET_PEERS, *MATRIX_PEERS, *BOOSTING, *FAMILIES)
    if name not in known:
        raise TrainingError(
            f"a method among {', '.join(known)}",
            received=f"'{name}'",
            action="Correct --methods, or training.families in params.yaml.",
        )
    package = PACKAGES.get(name.split("_", maxsplit=1)[0])
    if package is not None and find_spec(package) is None:
        raise TrainingError(
            f"the package '{package}', to measure '{name}'",
            received="it is not installed",
            action="Run `make quality`.",
        )


def _counting(name: str, moment: "Moment", params: Params) -> Answer:
    from pipeline.training.fit.candidates import build_baseline_recommender

    baselines, baseline = params.training.baselines, name
    if name == "decayed_60":
        baselines = baselines.model_copy(update={"decay_days": SHORTER_DECAY_DAYS})
        baseline = "decayed"
    return _answers_of(build_baseline_recommender(baseline, moment.shop, baselines))


def _family(
    name: str, moment: "Moment", params: Params, epochs: Mapping[str, int] | None
) -> FittedMethod:
    """Return a family as deployment fits it: how long is chosen on the last window, then on all.

    The champion is not fitted again where it is of this family and this cut-off: it is the same
    fit. The learning curve of the diagnosis is left out.

    Args:
        name: Of the family.
        moment: The cut-off.
        params: Of everything.
        epochs: How long each part trains; None to choose it.
    """
    from pipeline.training.fit.candidates import fit_family

    champion = _champion(name, moment)
    if champion is not None:
        notes = {"epochs": champion.description["epochs"], "fit": "models/champion"}
        return FittedMethod(_answers_of(champion), notes)
    families = params.families.without_learning_curve()
    started = perf_counter()
    chosen = dict(epochs) if epochs else _chosen_epochs(name, moment, families, params.shop.seed)
    notes = {"epochs": chosen, "seconds_to_choose_epochs": round(perf_counter() - started, 1)}
    _, recommender = fit_family(name, moment.shop, families, seed=params.shop.seed, epochs=chosen)
    return FittedMethod(_answers_of(recommender), notes)


def _chosen_epochs(
    name: str, moment: "Moment", families: FamiliesParams, seed: int
) -> dict[str, int]:
    from benchmarks.quality.peers.moment import with_validation
    from pipeline.training.fit.candidates import fit_family

    chosen, _ = fit_family(name, with_validation(moment.shop), families, seed=seed)
    return {part: fit.epochs for part, fit in chosen.fits.items()}


def _champion(name: str, moment: "Moment") -> "GraphRecommender | None":
    """Return the project's champion if it is this family at this cut-off."""
    folder = PROJECT / artefacts.CHAMPION.path
    if not folder.exists():
        return None
    described = read_description(folder)
    cutoff = datetime.fromisoformat(described["cutoff"]).timestamp()
    if (described["name"], cutoff) != (name, moment.shop.cutoff):
        return None
    found = load_recommender(folder)
    return found if found.vocabulary == moment.shop.vocabulary else None


def _answers_of(recommender: Any) -> Answer:
    from pipeline.testing.measure import predict

    def answer(questions: EvaluationSet, k: int) -> Predictions:
        return predict(recommender, questions, k=k, served_k=k, explore_slots=0)

    return answer
