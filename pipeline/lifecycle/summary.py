"""The last lines of `make repro`: what took how long, who answers now, what to do next."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.contracts import artefacts
from pipeline.contracts.errors import ArtefactError, as_typed
from pipeline.contracts.params import Params
from pipeline.contracts.verdicts import PHASES, Evidence
from pipeline.lifecycle import status
from pipeline.lifecycle.status import PhaseStatus
from pipeline.runtime import progress
from pipeline.runtime.stage_cost import COSTS, FILE

WIDTH = 100
MANIFEST = artefacts.Artefact(artefacts.CHAMPION.path / "manifest.json", "deployment")


@dataclass(frozen=True)
class Took:
    """What one stage took; None where it did not run now, or never here."""

    stage: str
    minutes: float | None
    memory_gib: float | None


def summary(params: Params, exit_code: int, since: float, width: int = WIDTH) -> str:
    """Return the summary of one `dvc repro`.

    Args:
        params: What it ran with.
        exit_code: How it ended; 0 is well.
        since: When it began, in seconds since 1970.
        width: Of the terminal, in columns.
    """
    took = times(progress.stages_of(progress.PIPELINE, params.training.families), since)
    lines = ["", *time_lines(took, since)]
    if exit_code:
        lines += ["", *failure_lines(since, width)]
    lines += ["", *champion_lines(width)]
    if not exit_code:
        lines += ["", *next_lines(status.read_status(), params)]
    return as_typed("\n".join(lines))


def times(stages: Sequence[str], since: float, folder: Path = COSTS) -> list[Took]:
    """Return what each stage took that ran since then."""
    found = []
    for stage in stages:
        path = folder / stage / FILE
        if not path.exists() or path.stat().st_mtime < since:
            found.append(Took(stage, None, None))
            continue
        cost = artefacts.read_json(artefacts.Artefact(path, "planning"))
        found.append(Took(stage, cost["minutes"], cost["memory_gib"]))
    return found


def time_lines(took: Sequence[Took], since: float) -> list[str]:
    """Return a table of the stages, and how many there was no need to run."""
    ran = [each for each in took if each.minutes is not None]
    failed = progress.stopped(since)
    if not ran:
        return [] if failed else ["Nothing had changed: no stage had to run."]
    wide = max(len(each.stage) for each in took)
    total, most = sum(each.minutes or 0 for each in ran), max(each.memory_gib or 0 for each in ran)
    lines = [
        f"{'stage':<{wide}}  minutes  memory",
        *(f"{each.stage:<{wide}}  {each.minutes:7.1f}  {each.memory_gib:.1f} GiB" for each in ran),
        f"{'in all':<{wide}}  {total:7.1f}  {most:.1f} GiB at most",
    ]
    kept = len(took) - len(ran)
    if kept and not failed:
        lines.append(f"{kept} of {len(took)} stages had nothing to do.")
    return lines


def failure_lines(since: float, width: int) -> list[str]:
    """Return which stage did not end well, why, and what to do."""
    failed = progress.stopped(since)
    if failed is None:
        return ["DVC failed outside of the stages: its own message is above."]
    stage, why = failed
    lines = textwrap.wrap(f"✗ {stage} did not end well. {why}", width, subsequent_indent="  ")
    phase = stage.split("@")[0]
    if phase in PHASES and Path(f"reports/{phase}/index.html").exists():
        lines.append(f"  Read reports/{phase}/index.html")
    return [*lines, "  Then `make repro` goes on from there: what is done is kept."]


def champion_lines(width: int) -> list[str]:
    """Return which model answers, and what it is worth beside the best counting method."""
    try:
        manifest = artefacts.read_json(MANIFEST)
    except ArtefactError:
        return ["There is no champion here yet."]
    name, version = manifest["model"]["name"], manifest["version"]
    text = f"Champion: {name}, version {version}, knows all before {manifest['as_of'][:10]}."
    measured = _measured(name)
    return textwrap.wrap(f"{text} {measured}".rstrip(), width, subsequent_indent="  ")


def _measured(name: str) -> str:
    """Return the test's main number, if it was measured for this model."""
    path = artefacts.verdict("testing").path
    if not path.exists():
        return ""
    verdict = artefacts.read_verdict("testing")
    first = verdict.evidence[0] if verdict.evidence else None
    if first is None or first.value is None or first.bound is None or name not in verdict.cause:
        return ""
    return f"{first.name} {first.value:.4f}, {_beside(first)}: {_lead(first.value, first.bound)}."


def _beside(evidence: Evidence) -> str:
    baseline = evidence.note.rsplit(", ", maxsplit=1)[-1]
    return f"the best counting method ({baseline}) {evidence.bound:.4f}"


def _lead(value: float, bound: float) -> str:
    share = value / bound - 1 if bound else 0.0
    return f"{abs(share):.0%} {'more' if share >= 0 else 'less'}"


def next_lines(rows: Sequence[PhaseStatus], params: Params) -> list[str]:
    """Return what needs a look, and what one may do now."""
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
