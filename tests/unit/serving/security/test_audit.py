import json
import stat
from pathlib import Path

import pytest

from pipeline.serving.observability.metrics import metrics
from pipeline.serving.security.audit import Audit


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_are_appended_to_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "private" / "audit.jsonl"
    Audit(path).write("key_created", key="shop", scopes="recommend")
    Audit(path).write("promoted", version="v\n2", key=None)
    first, second = lines(path)
    assert {k: first[k] for k in ("event", "key", "scopes")} == {
        "event": "key_created",
        "key": "shop",
        "scopes": "recommend",
    }
    assert first["time"].endswith("+00:00")
    assert second["version"] == "v\n2"
    assert "key" not in second
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_flood_of_denied_requests_is_counted_not_written(tmp_path: Path) -> None:
    now = 0.0
    audit = Audit(tmp_path / "audit.jsonl", clock=lambda: now)
    for _ in range(1_000):
        audit.write_denied(reason="key")
    assert len(lines(tmp_path / "audit.jsonl")) == 20
    now = 1.0
    audit.write_denied(reason="key")
    assert lines(tmp_path / "audit.jsonl")[-1]["left_out_before"] == 980


def test_a_file_that_cannot_be_written_is_counted_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    before = metrics().audit_errors._value.get()
    audit = Audit(tmp_path / "audit.jsonl", clock=lambda: 100.0)
    audit.write("promoted")
    audit.write("promoted")
    assert metrics().audit_errors._value.get() - before == 2
    assert caplog.text.count("cannot be written") == 1
