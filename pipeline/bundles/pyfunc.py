"""The bundle as an MLflow model: `mlflow.pyfunc.load_model("models:/<name>@champion")`."""

from pathlib import Path

import pandas as pd

from pipeline.bundles.bundle import Bundle, load_bundle
from pipeline.contracts.errors import RequestError
from pipeline.recommenders.base.requests import build_requests
from pipeline.recommenders.base.wall_clock import to_seconds

COLUMNS = ("user_id", "at")


class PyfuncModel:
    """Recommends items for a frame of requests."""

    def __init__(self, bundle: Bundle) -> None:
        """Wrap a loaded bundle."""
        self._bundle = bundle

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, int] | None = None
    ) -> pd.DataFrame:
        """Return one row per request and rank: user_id, rank, item_id, score.

        Args:
            model_input: Columns user_id and at (UTC), one row per request.
            params: `k` (default 10) and `explore_slots` (default 0).

        Raises:
            RequestError: A column is missing.
        """
        missing = [name for name in COLUMNS if name not in model_input.columns]
        if missing:
            raise RequestError(
                f"the columns {list(COLUMNS)}",
                received=str(list(model_input.columns)),
                action="Add the missing columns.",
            )
        options = params or {}
        users = model_input["user_id"].astype(str).tolist()
        requests = build_requests(
            self._bundle.histories,
            users,
            to_seconds(pd.to_datetime(model_input["at"], utc=True)),
            attributes=self._bundle.attributes,
            timezone=self._bundle.manifest.timezone,
        )
        answers = self._bundle.recommender.recommend(
            requests, options.get("k", 10), explore_slots=options.get("explore_slots", 0)
        )
        rows = [
            [user, rank, name, float(score)]
            for user, items, scores in zip(users, answers.items, answers.scores, strict=True)
            for rank, (name, score) in enumerate(
                zip(self._bundle.recommender.vocabulary.decode(items), scores, strict=True), start=1
            )
            if name
        ]
        return pd.DataFrame(rows, columns=["user_id", "rank", "item_id", "score"])


def _load_pyfunc(path: str) -> PyfuncModel:
    """Return the model; MLflow calls this function by name."""
    return PyfuncModel(load_bundle(Path(path)))
