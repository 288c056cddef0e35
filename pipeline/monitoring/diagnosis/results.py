"""The results of a diagnosis: the quality that undoing restores, id maps, and numbers."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.repairs import Change, EditParams, Step
from pipeline.monitoring.diagnosis.build import Restored, restore_quality
from pipeline.monitoring.diagnosis.diagnose import Diagnosis
from pipeline.monitoring.observe import MonitoringInputs
from pipeline.monitoring.traffic import DAYS_PER_WEEK, Traffic
from pipeline.recommenders.base.recommender import Recommender


def restore_all(
    diagnosis: Diagnosis, inputs: MonitoringInputs, champion: Recommender | None
) -> dict[str, Restored]:
    """Return the champion's quality with and without each cause that a copy can undo."""
    if champion is None:
        return {}
    restored = {
        cause.measured.cause.name: restore_quality(cause, inputs, champion)
        for cause in diagnosis.causes
    }
    return {name: quality for name, quality in restored.items() if quality is not None}


def build_refit(inputs: MonitoringInputs, traffic: Traffic) -> Step | None:
    """Return the step that refits on the first half of the window, which its second half judges.

    Returns None for a window of less than two weeks.
    """
    if traffic.until is None:
        return None
    weeks = (traffic.until - traffic.start).days // (2 * DAYS_PER_WEEK)
    if not weeks:
        return None
    zone = ZoneInfo(inputs.params.shop.timezone)
    as_of = traffic.start.astimezone(zone).date()
    later = as_of + timedelta(days=weeks * DAYS_PER_WEEK)
    return EditParams(changes=(Change(key="shop.as_of", value=later.isoformat()),))


def write_proposals(diagnosis: Diagnosis) -> None:
    """Write the id maps that the repairs name, as `old,new`."""
    for cause in diagnosis.causes:
        for step in cause.suspicion.steps:
            if step.kind != "edit_params":
                continue
            for copied in step.files:
                pairs = sorted(cause.suspicion.renames.items())
                text = pd.DataFrame(pairs, columns=["old", "new"]).to_csv(index=False)
                artefacts.write_text(text, Path(copied.source))


def summarise(diagnosis: Diagnosis, restored: Mapping[str, Restored]) -> dict[str, Any]:
    """Return the statistic of each cause with its bound, and what undoing it restores, as JSON."""
    confirmed = {cause.measured.cause.name: cause for cause in diagnosis.causes}
    return {
        item.cause.name: {"value": item.value, "bound": item.bound}
        | (
            {"after_undoing": confirmed[item.cause.name].value_after}
            if item.cause.name in confirmed
            else {}
        )
        | (
            {
                "quality": restored[item.cause.name].faulty,
                "restored": restored[item.cause.name].undone,
            }
            if item.cause.name in restored
            else {}
        )
        for item in diagnosis.measured
    }
