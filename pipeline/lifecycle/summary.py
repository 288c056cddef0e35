"""The summary at the end of `make repro`: the cost of the stages, the champion, the next steps."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.bundles.manifest import read_manifest
from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError, adapt_commands
from pipeline.contracts.params import Params
from pipeline.contracts.phases import PHASES
from pipeline.contracts.verdicts import Evidence
from pipeline.lifecycle import status
from pipeline.lifecycle.status import PhaseStatus
from pipeline.runtime import progress
from pipeline.runtime.stage_cost import COSTS, FILE

WIDTH = 100


@dataclass(frozen=True)
class StageTime:
    """The cost of one stage; None if it did not run now."""

    stage: str
    minutes: float | None
    memory_gib: float | None


def build_summary(params: Params, exit_code: int, since: float, width: int = WIDTH) -> str:
    """Return the summary of one `dvc repro`.

    Args:
        params: All of params.yaml.
        exit_code: Exit code of `dvc repro`.
        since: Start of `dvc repro`, in seconds since 1970.
        width: Width of the terminal in columns.
    """
    took = read_times(progress.read_stage_names(progress.PIPELINE, params.training.families), since)
    lines = ["", *format_times(took, since)]
    if exit_code:
        lines += ["", *format_failure(since, width)]
    lines += ["", *format_champion(width)]
    if not exit_code:
        lines += ["", *format_next_steps(status.read_status(), params)]
    return adapt_commands("\n".join(lines))


def read_times(stages: Sequence[str], since: float, folder: Path = COSTS) -> list[StageTime]:
    """Return the cost of each stage; None for stages that did not run after `since`."""
    rows = []
    for stage in stages:
        path = folder / stage / FILE
        if not path.exists() or path.stat().st_mtime < since:
            rows.append(StageTime(stage, None, None))
            continue
        cost = artefacts.read_json(artefacts.Artefact(path, "planning"))
        rows.append(StageTime(stage, cost["minutes"], cost["memory_gib"]))
    return rows


def format_times(took: Sequence[StageTime], since: float) -> list[str]:
    """Return a table of the executed stages, and the number of unchanged stages."""
    ran = [row for row in took if row.minutes is not None]
    failed = progress.read_failure(since)
    if not ran:
        return [] if failed else ["Nothing has changed: no stage had to run."]
    wide = max(len(row.stage) for row in took)
    total, most = sum(row.minutes or 0 for row in ran), max(row.memory_gib or 0 for row in ran)
    lines = [
        f"{'stage':<{wide}}  minutes  memory",
        *(f"{row.stage:<{wide}}  {row.minutes:7.1f}  {row.memory_gib:.1f} GiB" for row in ran),
        f"{'in all':<{wide}}  {total:7.1f}  {most:.1f} GiB at most",
    ]
    n_unchanged = len(took) - len(ran)
    if n_unchanged and not failed:
        lines.append(f"{n_unchanged} of {len(took)} stages were unchanged.")
    return lines


def format_failure(since: float, width: int) -> list[str]:
    """Return the stage that failed, the reason, and what to do."""
    failed = progress.read_failure(since)
    if failed is None:
        return ["DVC failed outside the stages: see its message above."]
    stage, why = failed
    lines = textwrap.wrap(f"✗ {stage} failed. {why}", width, subsequent_indent="  ")
    phase = stage.split("@")[0]
    if phase in PHASES and Path(f"reports/{phase}/index.html").exists():
        lines.append(f"  Read reports/{phase}/index.html")
    return [*lines, "  Then `make repro` continues from there: finished stages are not repeated."]


def format_champion(width: int) -> list[str]:
    """Return the champion, and its quality relative to the best frequency baseline."""
    try:
        manifest = read_manifest(artefacts.CHAMPION.path)
    except ArtefactError:
        return ["There is no champion here yet."]
    name, version = manifest.model.name, manifest.version
    text = f"Champion: {name}, version {version}, with data before {manifest.as_of[:10]}."
    measured = _measured(name)
    return textwrap.wrap(f"{text} {measured}".rstrip(), width, subsequent_indent="  ")


def _measured(name: str) -> str:
    """Return the main number of testing, if it was measured for this model."""
    path = artefacts.verdict("testing").path
    if not path.exists():
        return ""
    verdict = artefacts.read_verdict("testing")
    first = verdict.evidence[0] if verdict.evidence else None
    if first is None or first.value is None or first.bound is None or name not in verdict.cause:
        return ""
    lead = _format_lead(first.value, first.bound)
    return f"{first.name} {first.value:.4f}, {_describe_baseline(first)}: {lead}."


def _describe_baseline(evidence: Evidence) -> str:
    baseline = evidence.note.rsplit(", ", maxsplit=1)[-1]
    return f"the best frequency baseline ({baseline}) {evidence.bound:.4f}"


def _format_lead(value: float, bound: float) -> str:
    share = value / bound - 1 if bound else 0.0
    return f"{abs(share):.0%} {'more' if share >= 0 else 'less'}"


def format_next_steps(rows: Sequence[PhaseStatus], params: Params) -> list[str]:
    """Return the phases that need attention, and the next steps."""
    lines = [
        f"{status.LOOKS[row.health][0]} {row.phase}: {row.health}. {row.look}"
        for row in rows
        if row.health != "healthy"
    ]
    serving = params.serving
    return [
        *(lines or ["✓ all phases are healthy"]),
        "",
        "Read    reports/testing/index.html",
        f"Serve   `make serve`, then open http://{serving.host}:{serving.port}/",
        "Status  `make status`",
        "MLflow  `make ui`",
    ]
