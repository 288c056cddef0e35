"""The machine's resources: for tracking, not for the plan, which is the same on any machine."""

import logging
import os
import shutil
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.contracts.plan import Plan

log = logging.getLogger("evergreen.planning")

INVENTORY_PATH = Path("reports/planning/latency.json")  # a name that git and DVC ignore
GIB = 2**30


class Machine(BaseModel):
    """Cores, memory, free disk and speed of the machine that runs the pipeline.

    `slowness` is the duration of a phase relative to the reference machine of costs.py;
    `cycle_minutes` is the expected duration of a cycle of this plan here.
    """

    model_config = ConfigDict(frozen=True)

    cores: int
    memory_gib: float
    available_memory_gib: float
    free_disk_gib: float
    slowness: float = 1.0
    cycle_minutes: float | None = None


def measure_machine() -> Machine:
    """Return the resources that the process may use."""
    import psutil

    memory = psutil.virtual_memory()
    return Machine(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _all_cores(),
        memory_gib=round(memory.total / GIB, 2),
        available_memory_gib=round(memory.available / GIB, 2),
        free_disk_gib=round(shutil.disk_usage(Path.cwd()).free / GIB, 2),
    )


def calibrate(machine: Machine, plan: Plan, slowness: float) -> Machine:
    """Return the machine with its speed, and log the expected duration of a cycle."""
    minutes, limit = plan.minutes() * slowness, plan.guardrails.cycle_minutes
    level = logging.WARNING if minutes > limit else logging.INFO
    log.log(
        level,
        "A cycle is expected to take %.1f minutes on this machine (%.1f on the reference machine, "
        "times %.2f); planning.guardrails.cycle_minutes is %g.",
        *(minutes, plan.minutes(), slowness, limit),
    )
    update = {"slowness": round(slowness, 3), "cycle_minutes": round(minutes, 2)}
    return machine.model_copy(update=update)


def _all_cores() -> int:
    return os.cpu_count() or 1


def warn_if_small(machine: Machine, plan: Plan) -> bool:
    """Log a warning if the plan's peak memory is not available; return whether it is."""
    fits = plan.memory_gib() <= machine.available_memory_gib
    if not fits:
        log.warning(
            "A cycle is expected to need %.1f GiB of memory, but only %.1f GiB are free.",
            plan.memory_gib(),
            machine.available_memory_gib,
        )
    return fits
