"""Digests of what a run of collection depends on: the rows, the settings, and who is forgotten."""

from typing import Any

from pipeline.collection.partitions import CODE_VERSION
from pipeline.contracts.artefacts import digest
from pipeline.contracts.params import CollectionParams, ShopParams
from pipeline.event_store.suppression import SuppressionList
from pipeline.sources import Source

NOT_SETTINGS: Any = {
    "engine": True,
    "source": {"path", "begins"},
    "corrections": True,
    "quarantined": True,
}
"""Parts of the section that shape rows only through the source; months are compared by rows."""


def digest_inputs(
    source: Source, params: CollectionParams, shop: ShopParams, suppressed: SuppressionList
) -> str:
    """Return a digest of everything that a run depends on."""
    forgotten = [entry.user_hash for entry in suppressed]
    optional = [value for value in (forgotten, _list_corrections(source, params)) if value]
    return digest([source.fingerprints, digest_settings(source, params, shop), *optional])


def digest_settings(source: Source, params: CollectionParams, shop: ShopParams) -> str:
    """Return a digest of everything but the rows that shapes the clean tables."""
    limits = params.model_dump(mode="json", exclude=NOT_SETTINGS)
    begins = [] if source.begins is None else [source.begins]
    return digest([CODE_VERSION, source.name, source.ends, limits, shop.timezone, *begins])


def _list_corrections(source: Source, params: CollectionParams) -> list[object]:
    """Return the corrections with their id maps."""
    return [
        [
            correction.model_dump(mode="json"),
            None if applied.id_map is None else applied.id_map.to_pylist(),
        ]
        for correction, applied in zip(params.corrections, source.corrections, strict=True)
    ]
