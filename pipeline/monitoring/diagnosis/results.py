"""The results of a diagnosis: a refit, id maps, and numbers."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from pipeline.contracts import artefacts
from pipeline.contracts.repairs import Change, EditParams, Step
from pipeline.monitoring.diagnosis.build import Restored
from pipeline.monitoring.diagnosis.diagnose import Diagnosis
from pipeline.monitoring.observe import MonitoringInputs
from pipeline.monitoring.traffic import DAYS_PER_WEEK, Traffic


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
        edits = [step for step in cause.suspicion.steps if step.kind == "edit_params"]
        pairs = sorted(cause.suspicion.renames.items())
        text = pd.DataFrame(pairs, columns=["old", "new"]).to_csv(index=False)
        for copied in (file for edit in edits for file in edit.files):
            artefacts.write_text(text, Path(copied.source))


def summarise(diagnosis: Diagnosis, restored: Mapping[str, Restored]) -> dict[str, Any]:
    """Return the statistic of each cause with its bound, and what undoing it restores, as JSON."""
    numbers: dict[str, dict[str, float | None]] = {
        item.cause.name: {"value": item.value, "bound": item.bound} for item in diagnosis.measured
    }
    for cause in diagnosis.causes:
        numbers[cause.measured.cause.name]["after_undoing"] = cause.value_after
    for name, quality in restored.items():
        numbers[name] |= {"quality": quality.faulty, "restored": quality.undone}
    return numbers
