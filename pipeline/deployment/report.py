"""What the deployment stage says: checks against the plan's guardrails, a page, a verdict."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.contracts.params import GuardrailParams
from pipeline.contracts.verdicts import Evidence, Verdict, failing
from pipeline.presentation.pages import Page

if TYPE_CHECKING:
    from pipeline.deployment.release import Proof


def verdict(manifest: dict[str, Any], proof: "Proof", guardrails: GuardrailParams) -> Verdict:
    """Return whether the challenger may become the champion.

    Measured times and memory are this machine's and are not part of the verdict; whether they
    hold is. `reports/deployment/latency.json` has the numbers.
    """
    golden, load = proof.golden, proof.load
    evidence = (
        Evidence(
            name="golden_requests_equal",
            value=golden.n - golden.n_different,
            bound=golden.n,
            holds=golden.n_different == 0,
            note=golden.first_difference or "same items and slots, scores within the tolerance",
        ),
        Evidence(
            name="event_is_seen",
            value=float(proof.event_is_seen),
            bound=1.0,
            holds=proof.event_is_seen,
            note="a purchase shows in the shopper's next answer",
        ),
        Evidence(
            name="failed_requests",
            value=load.n_failed,
            bound=0.0,
            holds=load.n_failed == 0,
            note=f"of {load.n} under load",
        ),
        Evidence(
            name="p99_latency_ms",
            value=None,
            bound=guardrails.p99_latency_ms,
            holds=load.p99_ms <= guardrails.p99_latency_ms,
            note="measured; see latency.json beside this page",
        ),
        Evidence(
            name="serving_memory_gib",
            value=None,
            bound=guardrails.serving_memory_gib,
            holds=proof.memory_gib <= guardrails.serving_memory_gib,
            note="measured; see latency.json beside this page",
        ),
    )
    broken = [item.name for item in failing(evidence)]
    name, version = manifest["model"]["name"], manifest["version"]
    if not broken:
        cause = f"{name} {version} answers as it did offline and is the champion"
        return Verdict(phase="deployment", status="proceed", cause=cause, evidence=evidence)
    return Verdict(
        phase="deployment",
        status="stop",
        cause=f"{name} {version} does not hold {', '.join(broken)}: the old champion stays, unless "
        "this is accepted",
        evidence=evidence,
        action="Mend what is named, or change planning.guardrails, then `uv run dvc repro`.",
    )


def measured(proof: "Proof") -> str:
    """Return the load test on this machine in words, for the log."""
    load = proof.load
    return (
        f"p99 {load.p99_ms:.1f} ms while other guests of the host took "
        f"{load.stolen_fraction:.1%} of the cores, {proof.memory_gib:.2f} GiB"
    )


def latency(proof: "Proof") -> dict[str, Any]:
    """Return what was measured on this machine."""
    return {
        "n_requests": proof.load.n,
        "p50_ms": proof.load.p50_ms,
        "p99_ms": proof.load.p99_ms,
        "stolen_fraction": proof.load.stolen_fraction,
        "memory_gib": proof.memory_gib,
        "seconds_to_ready": proof.seconds_to_ready,
        "largest_score_difference": proof.golden.largest_difference,
    }


def report(manifest: dict[str, Any], proof: "Proof") -> dict[str, Any]:
    """Return what goes into reports/deployment/report.json."""
    return {
        "version": manifest["version"],
        "model": manifest["model"],
        "as_of": manifest["as_of"],
        "golden_requests": proof.golden.n,
        "golden_requests_different": proof.golden.n_different,
        "failed_requests": proof.load.n_failed,
        "n_files": len(manifest["files"]),
    }


def page(manifest: dict[str, Any], conclusion: Verdict) -> Page:
    """Return the deployment page."""
    made = Page("Deployment", "Does the built service answer as the model did offline?")
    made.verdict(conclusion)
    made.facts(
        "The bundle",
        {
            "version": manifest["version"],
            "model": manifest["model"]["name"],
            "knows all before": manifest["as_of"],
            "git commit": manifest["git_commit"],
            "clean data": manifest["data"]["clean"],
            "examples, sha256": manifest["data"]["examples"],
        },
    )
    files = pd.DataFrame(manifest["files"].items(), columns=["file", "sha256"])
    made.table("Files", files, "Checked before the bundle is used, every time.")
    made.text(
        "Try it",
        "`make serve` starts it; then, for example:",
        "curl -s http://127.0.0.1:3000/recommend -H 'content-type: application/json' "
        '-d \'{"user_id": "2375"}\'',
        "To go back to the champion before, while it runs: "
        "`uv run python -m pipeline.serving rollback`.",
    )
    return made
