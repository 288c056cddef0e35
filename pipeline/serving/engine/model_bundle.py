"""The part of a model bundle that serving uses."""

from typing import Protocol

import pandas as pd

from pipeline.bundles.manifest import BundleManifest
from pipeline.recommenders.base.histories import Histories
from pipeline.recommenders.base.recommender import Recommender


class ModelBundle(Protocol):
    """The part of `pipeline.bundles.bundle.Bundle` that serving uses."""

    @property
    def manifest(self) -> BundleManifest:
        """Version, model, as_of and timezone."""
        ...

    @property
    def recommender(self) -> Recommender:
        """The fitted recommender."""
        ...

    @property
    def histories(self) -> Histories:
        """All purchases before as_of."""
        ...

    @property
    def attributes(self) -> pd.DataFrame:
        """User attribute codes, indexed by user_id."""
        ...

    @property
    def items(self) -> pd.DataFrame:
        """Titles and categories of the items."""
        ...
