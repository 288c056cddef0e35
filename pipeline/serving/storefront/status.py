"""The drift light: monitoring's last verdict."""

from pipeline.contracts.artefacts import read_verdict
from pipeline.contracts.errors import ArtefactError
from pipeline.serving.storefront.payloads import DriftLight


def read_drift_light() -> DriftLight:
    """Return monitoring's verdict, `unknown` if it cannot be read (as inside a Bento)."""
    try:
        verdict = read_verdict("monitoring")
    except ArtefactError as error:
        return DriftLight(status="unknown", cause=error.action)
    warns = verdict.status == "proceed" and verdict.warnings
    return DriftLight(status="warns" if warns else verdict.status, cause=verdict.cause)
