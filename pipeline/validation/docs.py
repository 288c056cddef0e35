"""Data Docs: Great Expectations' rendering of each result, as self-contained pages.

The original pages load style sheets, scripts and a logo from the network, and contain times and
random ids. These pages keep the content only, with a short inline style.
"""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.contracts.artefacts import write_text
from pipeline.contracts.atomic import whole_folder

STYLE = """
body { margin: 0; background: #f4f7f5; color: #1f2a24;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h5 { font-size: 1.05rem; margin: 0; }
h6, .h6 { font-size: .95rem; margin: 0; } a { color: #1d7a4c; } .lead { color: #5d6b63; }
.ge-section { background: #fff; border: 1px solid #dde4df; border-radius: .6rem;
  padding: 1rem 1.2rem; margin: 0 0 1rem; overflow-x: auto; }
.alert { margin-bottom: .5rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; color: #5d6b63; font-weight: 600; }
th, td { padding: .35rem .7rem .35rem 0; border-bottom: 1px solid #dde4df; vertical-align: top; }
td:first-child, th:first-child { min-width: 4.5rem; }
td table { width: auto; margin-top: .4rem; }
.badge { background: #eef2ef; border-radius: .3rem; padding: 0 .35rem; font-family: monospace; }
.yes, .text-success { color: #1d7a4c; font-weight: 600; }
.no, .text-danger { color: #b3261e; font-weight: 600; }
"""
ICONS = {"fa-check-circle": ("yes", "✓"), "fa-times": ("no", "✗")}

Document = dict[str, Any]


def write_pages(documents: Mapping[str, Document], folder: Path) -> None:
    """Write one page per validation and an index; `folder` is replaced."""
    with whole_folder(folder) as temporary:
        for name, document in documents.items():
            write_text(_page(name, render(document)), temporary / f"{file_name(name)}.html")
        write_text(_index(documents), temporary / "index.html")


def file_name(name: str) -> str:
    """Return the file name of a validation's page.

    >>> file_name("raw promotions (1 in 14)")
    'raw-promotions-1-in-14'
    """
    return re.sub(r"\W+", "-", name).strip("-")


def render(document: Document) -> str:
    """Return the sections that Great Expectations renders for one result, as plain HTML."""
    from great_expectations.core import expectation_validation_result as results
    from great_expectations.render import CollapseContent
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    fields = {key: value for key, value in document.items() if key != "n_rows"}
    result = results.expectationSuiteValidationResultSchema.load(fields)
    content = ValidationResultsPageRenderer().render(result)
    for section in content.sections:
        section.content_blocks = [
            block for block in section.content_blocks if not isinstance(block, CollapseContent)
        ]
    return strip_page(DefaultJinjaPageView().render(content))


def strip_page(page: str) -> str:
    """Return the sections of a Great Expectations page without scripts, links and random ids."""
    body = page[page.index('<div id="section-1"') :]
    body = re.sub(r"<script.*?</script>", "", body, flags=re.DOTALL)
    body = body[: body.rindex("</table>")] + "</table></div></div></div>"
    body = re.sub(r"<a [^>]*>(.*?)</a>", r"\1", body, flags=re.DOTALL)
    body = body.replace(" Data asset: None<br>", "")
    body = re.sub(r'<i class="fas ([a-z-]+)[^>]*></i>', _icon, body)
    body = re.sub(r'\s(id|data-[a-z-]+|href)="[^"]*"', "", body)
    return re.sub(r"\s*\n\s*", "\n", body)


def _icon(match: re.Match[str]) -> str:
    kind, sign = ICONS.get(match[1], ("", ""))
    return f"<span class='{kind}'>{sign}</span>"


def _page(title: str, body: str) -> str:
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(title)} · Data Docs</title><style>{STYLE}</style></head>"
        f"<body><main><p><a href='index.html'>All validations</a></p>"
        f"<h1>{html.escape(title)}</h1>\n{body}\n</main></body></html>\n"
    )


def _index(documents: Mapping[str, Document]) -> str:
    rows = "".join(_row(name, document) for name, document in sorted(documents.items()))
    head = "<tr><th>Validation</th><th>Holds</th><th>Rows</th><th>Expectations that hold</th></tr>"
    table = f"<div class='ge-section'><table>{head}{rows}</table></div>"
    lead = "<p class='lead'>The expectations of every table, and their outcomes.</p>"
    return _page("Validations", lead + table)


def _row(name: str, document: Document) -> str:
    statistics = document["statistics"]
    holds = (
        "<span class='yes'>✓ yes</span>" if document["success"] else "<span class='no'>✗ no</span>"
    )
    share = f"{statistics['successful_expectations']} of {statistics['evaluated_expectations']}"
    link = f"<a href='{file_name(name)}.html'>{html.escape(name)}</a>"
    return (
        f"<tr><td>{link}</td><td>{holds}</td><td>{document['n_rows']:,}</td><td>{share}</td></tr>"
    )
