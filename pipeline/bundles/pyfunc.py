"""The bundle as `mlflow.pyfunc.load_model("models:/<name>@champion")` returns it."""

from pathlib import Path

import pandas as pd

from pipeline.bundles.bundle import Bundle, load_bundle
from pipeline.contracts.errors import RequestError
from pipeline.recommenders.base.requests import build_requests
from pipeline.recommenders.base.wall_clock import to_seconds

COLUMNS = ("user_id", "at")


class PyfuncModel:
    """Predicts from a frame of requests."""

    def __init__(self, bundle: Bundle) -> None:
        """Wrap a loaded bundle."""
        self._bundle = bundle

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, int] | None = None
    ) -> pd.DataFrame:
        """Return one row per request and rank: user_id, rank, item_id, score.

        Args:
            model_input: Columns user_id and at (UTC).
            params: `k`, 10 if absent, and `explore_slots`, 0 if absent.

        Raises:
            RequestError: A column is missing.
        """
        missing = [name for name in COLUMNS if name not in model_input.columns]
        if missing:
            raise RequestError(
                f"the columns {list(COLUMNS)}",
                received=str(list(model_input.columns)),
                action="Give one row per request.",
            )
        asked = params or {}
        users = model_input["user_id"].astype(str).tolist()
        requests = build_requests(
            self._bundle.histories,
            users,
            to_seconds(pd.to_datetime(model_input["at"], utc=True)),
            attributes=self._bundle.attributes,
            timezone=str(self._bundle.manifest["timezone"]),
        )
        k = asked.get("k", 10)
        found = self._bundle.recommender.recommend(
            requests, k, explore_slots=asked.get("explore_slots", 0)
        )
        rows = [
            [user, rank, name, float(score)]
            for user, items, scores in zip(users, found.items, found.scores, strict=True)
            for rank, (name, score) in enumerate(
                zip(self._bundle.recommender.vocabulary.decode(items), scores, strict=True), start=1
            )
            if name
        ]
        return pd.DataFrame(rows, columns=["user_id", "rank", "item_id", "score"])


def _load_pyfunc(path: str) -> PyfuncModel:
    """Return the model; MLflow calls this name."""
    return PyfuncModel(load_bundle(Path(path)))
