"""The phases of the lifecycle, in order."""

from typing import Literal

Phase = Literal[
    "planning", "collection", "labeling", "training", "testing", "deployment", "monitoring"
]
PHASES: tuple[Phase, ...] = (
    "planning",
    "collection",
    "labeling",
    "training",
    "testing",
    "deployment",
    "monitoring",
)
