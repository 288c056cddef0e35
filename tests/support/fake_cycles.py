"""A shop whose verdicts follow from params.yaml by a rule: `dvc repro` in a millisecond."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params, read_params
from pipeline.contracts.phases import PHASES, Phase
from pipeline.contracts.repairs import Ask, Change, EditParams, Repair, Restart, RollBack
from pipeline.contracts.verdicts import Evidence, Verdict
from pipeline.runtime import progress
from tests.support.tiny_shop import PROJECT

DRIFT = Evidence(name="input_drift", value=0.8, bound=0.25, holds=False)
LOSS = Evidence(name="recall@10", value=0.08, bound=0.13, holds=False)


@dataclass(frozen=True)
class Shop:
    """What a cycle finds: the phase in trouble, its evidence and repairs, and the quality."""

    trouble: Phase | None = None
    status: str = "return"
    failing: tuple[Evidence, ...] = (DRIFT, LOSS)
    repairs: tuple[Repair, ...] = ()
    recall: float | None = 0.16
    half_width: float = 0.01
    lead: float = 0.02
    broken_stage: str | None = None


@dataclass
class FakeCycles:
    """A runner that writes the verdicts of `rule(params)`; it remembers its commands."""

    rule: Callable[[Params], Shop]
    commands: list[tuple[str, ...]] = field(default_factory=list)
    seen: list[Params] = field(default_factory=list)
    after: Callable[[], Any] = lambda: None

    def __call__(self, command: Sequence[str]) -> int:
        self.commands.append(tuple(command))
        params = read_params()
        self.seen.append(params)
        code = write_cycle(self.rule(params))
        self.after()
        return code


def write_cycle(shop: Shop) -> int:
    """Write what `dvc repro` writes in this shop, and return its exit code."""
    last = PHASES if shop.trouble is None else PHASES[: PHASES.index(shop.trouble) + 1]
    progress.RUNNING.unlink(missing_ok=True)
    for phase in last:
        if phase == (shop.broken_stage or "").split("@")[0]:
            break
        _write(build_verdict(phase, shop).model_dump_json(), artefacts.verdict(phase).path)
    if shop.broken_stage is not None:
        progress.write_running(shop.broken_stage, "Expected a table, got none.")
        return 1
    if shop.trouble is None or shop.trouble == "monitoring":
        write_quality(shop)
        return 0
    stopped = shop.trouble if shop.status == "stop" else PHASES[len(last)]
    stage = {"training": "families@mlp", "deployment": "refit"}.get(stopped, stopped)
    progress.write_running(stopped if shop.status == "stop" else stage, "the gate is closed")
    return 1


def build_verdict(phase: Phase, shop: Shop) -> Verdict:
    """Return the verdict of a phase in this shop."""
    lead = Evidence(name="lead_over_frequency", value=shop.lead, holds=True, gates=False)
    evidence = (lead,) if phase == "monitoring" else ()
    if phase != shop.trouble:
        return Verdict(phase=phase, status="proceed", cause="It is well", evidence=evidence)
    return Verdict(
        phase=phase,
        status=shop.status,
        cause=f"{phase} is not well",
        evidence=(*shop.failing, *evidence),
        target_phase=phase,
        action="Correct it.",
        repairs=shop.repairs,
    )


def write_quality(shop: Shop) -> None:
    """Write the metrics of monitoring."""
    quality = {}
    if shop.recall is not None:
        ends = {"low": shop.recall - shop.half_width, "high": shop.recall + shop.half_width}
        quality = {"recall@10": {"value": shop.recall, **ends, "reference": 0.16}}
    _write(json.dumps({"quality": quality}), artefacts.MONITORING_METRICS.path)


def _write(text: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_project(folder: Path) -> None:
    """Write the project's own params.yaml, with its comments, into a folder."""
    text = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    (folder / "params.yaml").write_text(text, encoding="utf-8")


def set_key(key: str, value: Any, *, cause: str = "aged", **numbers: float | None) -> Repair:
    """Return a repair that sets one key."""
    step = EditParams(changes=(Change(key=key, value=value),))
    return build_repair(step, cause=cause, **numbers)


def build_repair(
    step: EditParams | RollBack | Restart | Ask, *, cause: str = "aged", **numbers: float | None
) -> Repair:
    """Return a repair for training with unknown gain and cost, unless given."""
    return Repair(
        cause=cause, target_phase="training", step=step, because="Input drift is 0.8.", **numbers
    )


REFIT = set_key("shop.as_of", "2017-12-11", expected_gain=0.02, cost_minutes=10.0)
DEEPER = set_key("families.ranker.epochs", 3, expected_gain=0.03, cost_minutes=5.0)
SICK = Shop(trouble="monitoring", recall=0.08, lead=-0.01, repairs=(REFIT, DEEPER))
WELL = Shop()


def heals_by(
    key: str, value: Any, sick: Shop = SICK, well: Shop = WELL
) -> Callable[[Params], Shop]:
    """Return a rule: the shop is well where a key of params.yaml has a value."""
    section, *names = key.split(".")

    def rule(params: Params) -> Shop:
        current: Any = getattr(params, section)
        for name in names:
            current = getattr(current, name)
        return replace(well) if str(current) == str(value) else replace(sick)

    return rule
