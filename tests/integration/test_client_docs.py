"""The examples in docs/client.md run and print the output on the page."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

from pipeline.event_store.store import EventStore
from pipeline.serving.api.app import build_app
from pipeline.serving.api.backend import Backend
from pipeline.serving.engine.engine import RecommendationEngine
from tests.support.fake_bundle import FakeBundle, serving_params
from tests.support.live import listening
from tests.support.tiny_shop import PROJECT

EXAMPLES = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
PAGE = (PROJECT / "docs" / "client.md").read_text(encoding="utf-8")


def test_every_example_prints_the_output_on_the_page(tmp_path: Path) -> None:
    params = serving_params()
    app = build_app()
    store = EventStore(f"sqlite:///{tmp_path / 'events.db'}")
    app.state.backend = Backend(RecommendationEngine(FakeBundle(), store, params), params)
    names: dict[str, Any] = {}
    examples = EXAMPLES.findall(PAGE)
    assert len(examples) == PAGE.count("```python") > 0
    with listening(app) as url:
        for code, expected in examples:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code.replace("http://127.0.0.1:3000", url), names)
            assert printed.getvalue() == expected
    app.state.backend.close()
