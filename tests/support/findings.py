"""Sound findings of monitoring; 90 % of the tested quality, 0.20, is 0.18."""

from pipeline.monitoring.evidence import Findings
from pipeline.monitoring.quality import Quality

KEPT = Quality(0.20, 0.19, 0.21, 0.20, 900, 0.19, 0.21)
LOST = Quality(0.15, 0.14, 0.16, 0.20, 900, 0.19, 0.21)
SOUND = Findings(
    metric="recall@10",
    quality=KEPT,
    drifts=(),
    unknown_item_fraction=0.03,
    unknown_user_fraction=0.0,
    volume_ratio=1.0,
    failed_fraction=0.0,
    unanswered_fraction=0.0,
    n_lost_events=0,
    p99_ms=12.0,
    p99_limit_ms=40.0,
    frequency=None,
)
