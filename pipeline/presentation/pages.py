"""HTML pages: one self-contained file per phase, without scripts or external resources."""

import html
import io
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.contracts.artefacts import write_text
from pipeline.contracts.verdicts import Evidence, Verdict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

STYLE = """
:root { --ink: #1f2a24; --soft: #5d6b63; --line: #dde4df; --leaf: #1d7a4c; --warn: #a15c00;
  --bad: #b3261e; --paper: #ffffff; --back: #f4f7f5; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; margin: 0 0 .25rem; } h2 { font-size: 1.25rem; margin: 0 0 .75rem; }
.lead { color: var(--soft); margin: 0 0 1.5rem; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1.25rem 1.4rem; margin: 0 0 1.25rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .92rem; }
th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: .4rem .7rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; }
caption { caption-side: bottom; text-align: left; color: var(--soft); padding-top: .5rem;
  font-size: .88rem; }
figure { margin: 0; } figure svg { max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .88rem; }
.badge { display: inline-block; padding: .15rem .7rem; border-radius: 1rem; color: #fff;
  font-weight: 600; }
.proceed { background: var(--leaf); } .warned { background: var(--warn); }
.return, .stop { background: var(--bad); }
.yes, .no, .warns { white-space: nowrap; font-weight: 600; }
.yes { color: var(--leaf); } .no { color: var(--bad); } .warns { color: var(--warn); }
@media (max-width: 40rem) { main { padding: 1rem .6rem; } }
"""

LARGE = 1000


class Mark(Enum):
    """An answer with its own sign and colour; the value is its CSS class."""

    YES = "yes"
    NO = "no"
    WARNS = "warns"


MARKS = {Mark.YES: "✓ yes", Mark.NO: "✗ no", Mark.WARNS: "! no, a warning"}


class Page:
    """A page that is built from top to bottom and then written."""

    def __init__(self, title: str, lead: str) -> None:
        """Start a page with a title and one sentence about its purpose."""
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1><p class='lead'>{html.escape(lead)}</p>"]

    def verdict(self, verdict: Verdict) -> None:
        """Add the verdict with its evidence."""
        import pandas as pd

        style = "warned" if verdict.status == "proceed" and verdict.warnings else verdict.status
        badge = f"<span class='badge {style}'>{verdict.status_in_words}</span>"
        text = f"<p>{badge} {html.escape(verdict.cause)}</p>"
        if verdict.action:
            target = f"Back to {verdict.target_phase}: " if verdict.target_phase else ""
            text += f"<p><strong>{html.escape(target)}</strong>{html.escape(verdict.action)}</p>"
        rows = pd.DataFrame(
            [
                {
                    "evidence": e.name,
                    "value": e.value,
                    "bound": e.bound,
                    "holds": _mark(e),
                    "": e.note,
                }
                for e in verdict.evidence
            ]
        )
        self._section("Verdict", text + (_table(rows, "") if len(rows) else ""))

    def text(self, heading: str, *paragraphs: str) -> None:
        """Add paragraphs of plain text."""
        self._section(heading, "".join(f"<p>{html.escape(text)}</p>" for text in paragraphs))

    def facts(self, heading: str, values: Mapping[str, object]) -> None:
        """Add a list of names and values."""
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{_cell(value)}</td></tr>"
            for name, value in values.items()
        )
        self._section(heading, f"<table>{rows}</table>")

    def table(self, heading: str, frame: "pd.DataFrame", caption: str = "") -> None:
        """Add a frame; numbers are right-aligned, booleans become yes and no."""
        self._section(heading, _table(frame, caption))

    def figure(self, heading: str, figure: "Figure", caption: str) -> None:
        """Add a matplotlib figure as inline SVG."""
        label = f"<figcaption>{html.escape(caption)}</figcaption>"
        self._section(heading, f"<figure>{_svg(figure, heading)}{label}</figure>")

    def write(self, path: Path) -> None:
        """Write the page to `path`."""
        body = "\n".join(self._parts)
        write_text(
            "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
            "<meta name='viewport' content='width=device-width, initial-scale=1'>"
            f"<title>{html.escape(self.title)} · Evergreen</title><style>{STYLE}</style></head>"
            f"<body><main>{body}</main></body></html>\n",
            path,
        )

    def _section(self, heading: str, body: str) -> None:
        self._parts.append(f"<section><h2>{html.escape(heading)}</h2>{body}</section>")


def _mark(evidence: Evidence) -> Mark:
    if evidence.holds:
        return Mark.YES
    return Mark.NO if evidence.gates else Mark.WARNS


def new_figure(width: float = 8.0, height: float = 3.4) -> "Figure":
    """Return an empty matplotlib figure in the house style; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _svg(figure: "Figure", name: str) -> str:
    import matplotlib as mpl

    buffer = io.StringIO()
    salt = re.sub(r"\W+", "-", name)
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none", "font.size": 10}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    without_metadata = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return without_metadata[without_metadata.index("<svg") :]


def _table(frame: "pd.DataFrame", caption: str) -> str:
    numeric = [frame[name].dtype.kind in "iuf" for name in frame.columns]
    classes = [" class='number'" if flag else "" for flag in numeric]
    head = "".join(
        f"<th{c}>{html.escape(str(name))}</th>"
        for name, c in zip(frame.columns, classes, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f"<td{c}>{_cell(v)}</td>" for v, c in zip(row, classes, strict=True))
        + "</tr>"
        for row in frame.itertuples(index=False, name=None)
    )
    label = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{label}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(value: object) -> str:
    if value is None or value != value:  # noqa: PLR0124  only NaN differs from itself
        return "–"
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        value = Mark.YES if value else Mark.NO
    if isinstance(value, Mark):
        return f"<span class='{value.value}'>{MARKS[value]}</span>"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= LARGE else f"{value:.4g}"
    return html.escape(str(value))
