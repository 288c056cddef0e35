"""The deployment's report: checks against the plan's guardrails, a verdict and a page."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.bundles.manifest import BundleManifest
from pipeline.contracts.params import GuardrailParams
from pipeline.contracts.repairs import Ask, Repair
from pipeline.contracts.verdicts import Evidence, Verdict, failing
from pipeline.presentation.pages import Page

if TYPE_CHECKING:
    from pipeline.deployment.release import ServiceCheck

ACTION = "Correct the cause or change planning.guardrails, then run `uv run dvc repro`."


def build_verdict(
    manifest: BundleManifest, check: "ServiceCheck", guardrails: GuardrailParams
) -> Verdict:
    """Return whether the challenger may become the champion.

    The verdict contains whether latency and memory hold, but not the values, which depend on the
    machine; `reports/deployment/latency.json` has them.
    """
    evidence = _build_evidence(check, guardrails)
    broken = [item.name for item in failing(evidence)]
    name, version = manifest.model.name, manifest.version
    if not broken:
        cause = f"{name} {version} answers as it did offline and is the champion"
        return Verdict(phase="deployment", status="proceed", cause=cause, evidence=evidence)
    return Verdict(
        phase="deployment",
        status="stop",
        cause=f"{name} {version} fails {', '.join(broken)}: the old champion stays unless a person "
        "accepts this",
        evidence=evidence,
        action=ACTION,
        repairs=(ask_about_release(broken),),
    )


def ask_about_release(broken: Sequence[str]) -> Repair:
    """Return the question about a challenger that fails its checks.

    Nothing is rolled back, since the old champion still serves; and no guardrail is proposed, since
    a verdict holds no numbers of one machine.
    """
    is_slow = set(broken) <= {"p99_latency_ms", "serving_memory_gib"}
    names = ", ".join(broken)
    return Repair(
        cause="slow_release" if is_slow else "bad_release",
        target_phase="deployment",
        step=Ask(question=f"The challenger fails {names}; the old champion serves. {ACTION}"),
        because=f"It fails {names}; see reports/deployment/latency.json",
    )


def _build_evidence(check: "ServiceCheck", guardrails: GuardrailParams) -> tuple[Evidence, ...]:
    golden, load = check.golden, check.load
    return (
        Evidence(
            name="golden_requests_equal",
            value=golden.n - golden.n_different,
            bound=golden.n,
            holds=golden.n_different == 0,
            note=golden.first_difference or "same items and slots, scores within the tolerance",
        ),
        Evidence(
            name="event_is_seen",
            value=float(check.is_event_visible),
            bound=1.0,
            holds=check.is_event_visible,
            note="a purchase changes the shopper's next answer",
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
            holds=check.memory_gib <= guardrails.serving_memory_gib,
            note="measured; see latency.json beside this page",
        ),
    )


def format_measurements(check: "ServiceCheck") -> str:
    """Return the load test on this machine as a line for the log."""
    load = check.load
    return (
        f"p99 {load.p99_ms:.1f} ms while other guests of the host used "
        f"{load.stolen_fraction:.1%} of the CPU, {check.memory_gib:.2f} GiB"
    )


def build_latency_report(check: "ServiceCheck") -> dict[str, Any]:
    """Return the measurements on this machine, for reports/deployment/latency.json."""
    return {
        "n_requests": check.load.n,
        "p50_ms": check.load.p50_ms,
        "p99_ms": check.load.p99_ms,
        "stolen_fraction": check.load.stolen_fraction,
        "memory_gib": check.memory_gib,
        "seconds_to_ready": check.seconds_to_ready,
        "largest_score_difference": check.golden.largest_difference,
    }


def build_report(manifest: BundleManifest, check: "ServiceCheck") -> dict[str, Any]:
    """Return the contents of reports/deployment/report.json."""
    return {
        "version": manifest.version,
        "model": manifest.model.model_dump(),
        "as_of": manifest.as_of,
        "golden_requests": check.golden.n,
        "golden_requests_different": check.golden.n_different,
        "failed_requests": check.load.n_failed,
        "n_files": len(manifest.files),
    }


def build_page(manifest: BundleManifest, verdict: Verdict) -> Page:
    """Return the deployment page."""
    page = Page("Deployment", "Does the built service answer as the model did offline?")
    page.verdict(verdict)
    page.facts(
        "The bundle",
        {
            "version": manifest.version,
            "model": manifest.model.name,
            "knows events before": manifest.as_of,
            "git commit": manifest.git_commit,
            "clean data": manifest.data.clean,
            "examples, sha256": manifest.data.examples,
        },
    )
    files = pd.DataFrame(manifest.files.items(), columns=["file", "sha256"])
    page.table("Files", files, "Verified whenever the bundle is loaded.")
    page.text(
        "Try it",
        "`make serve` starts it; then, for example:",
        "curl -s http://127.0.0.1:3000/recommend -H 'content-type: application/json' "
        '-d \'{"user_id": "2375"}\'',
        "To restore the previous champion while the service runs: "
        "`uv run python -m pipeline.serving rollback`.",
    )
    return page
