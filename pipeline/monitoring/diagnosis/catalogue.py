"""The catalogue of causes that a window's data can show."""

from pipeline.monitoring.diagnosis.causes.bot_traffic import BOT_TRAFFIC
from pipeline.monitoring.diagnosis.causes.clock_shift import CLOCK_SHIFT
from pipeline.monitoring.diagnosis.causes.damaged_lines import DAMAGED_LINES
from pipeline.monitoring.diagnosis.causes.items_remapped import ITEMS_REMAPPED
from pipeline.monitoring.diagnosis.causes.label_noise import LABEL_NOISE
from pipeline.monitoring.diagnosis.causes.labels_misjoined import LABELS_MISJOINED
from pipeline.monitoring.diagnosis.causes.labels_missing import LABELS_MISSING
from pipeline.monitoring.diagnosis.causes.late_data import LATE_DATA
from pipeline.monitoring.diagnosis.causes.missing_days import MISSING_DAYS
from pipeline.monitoring.diagnosis.causes.repeated_lines import REPEATED_LINES
from pipeline.monitoring.diagnosis.causes.thin_data import THIN_DATA
from pipeline.monitoring.diagnosis.causes.unit_change import UNIT_CHANGE
from pipeline.monitoring.diagnosis.causes.users_remapped import USERS_REMAPPED

# Of two causes that explain a window equally well, the first is named.
CATALOGUE = (
    REPEATED_LINES,
    LATE_DATA,
    MISSING_DAYS,
    DAMAGED_LINES,
    UNIT_CHANGE,
    CLOCK_SHIFT,
    BOT_TRAFFIC,
    ITEMS_REMAPPED,
    USERS_REMAPPED,
    THIN_DATA,
    LABELS_MISJOINED,
    LABEL_NOISE,
    LABELS_MISSING,
)
