"""The endpoint exposes every metric that the dashboard and the alert rules use."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import Counter, Gauge, Histogram
from ruamel.yaml import YAML

from pipeline.serving.observability.metrics import metrics
from tests.support.tiny_shop import PROJECT

FOLDER = PROJECT / "docs" / "monitoring"


def dashboard() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    return parsed


def rules() -> list[dict[str, Any]]:
    text = (FOLDER / "alerts.yaml").read_text(encoding="utf-8")
    groups = YAML(typ="safe", pure=True).load(text)["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (rule["expr"] for rule in rules())


def series() -> dict[str, set[str]]:
    """Return the labels of each series in /metrics."""
    parsed: dict[str, set[str]] = {}
    for metric in vars(metrics()).values():
        endings = {Counter: ["_total"], Gauge: [""], Histogram: ["_bucket", "_sum", "_count"]}
        for ending in endings[type(metric)]:
            labels = set(metric._labelnames)
            parsed[metric._name + ending] = labels | ({"le"} if ending == "_bucket" else set())
    return parsed


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_metric_and_label_of_an_expression_exists(expression: str) -> None:
    known = series()
    used = re.findall(r"\b(evergreen_\w+)(?:\{([^}]*)\})?", expression)
    assert used
    labels: set[str] = set()
    for name, matchers in used:
        assert name in known, f"{name} is not among {sorted(known)}"
        labels |= known[name]
        for label in re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", matchers):
            assert label in known[name], f"{name} has no label {label}"
    for group in re.findall(r"(?:by|without|ignoring|on)\s*\(([^)]*)\)", expression):
        for label in (part.strip() for part in group.split(",")):
            assert label in labels, f"'{label}' is a label of none of {used}"


def test_the_check_itself_finds_what_is_missing() -> None:
    for wrong in ("rate(evergreen_nothing_total[5m])", 'evergreen_answers_total{colour="red"}'):
        with pytest.raises(AssertionError):
            test_every_metric_and_label_of_an_expression_exists(wrong)


def test_every_metric_of_ours_is_on_the_dashboard_or_in_an_alert() -> None:
    text = " ".join(expressions())
    unseen = {name for name in series() if name.endswith(("_total", "_info", "_waiting"))}
    unseen = {name for name in unseen if name not in text}
    assert unseen == {"evergreen_predictions_logged_total"}


def test_every_alert_says_what_to_do_and_how_urgent_it_is() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"]


def test_every_panel_has_a_place_of_its_own() -> None:
    panels = dashboard()["panels"]
    assert len({(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}) == len(panels)
    assert len({p["id"] for p in panels}) == len(panels)
    assert all(p["datasource"]["uid"] == "${source}" for p in panels)
