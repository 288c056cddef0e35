"""The page's files, read once; their address holds a hash of them, so browsers keep them for ever.

A page may load from this service only, and runs no script that stands in the HTML.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

ASSETS = Path(__file__).parent / "assets"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
PLACE, CURRENCY = "{{assets}}", "{{currency}}"
LONG = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Files:
    """All files by name, and the hash of them all."""

    content: dict[str, bytes]
    version: str


@cache
def files() -> Files:
    """Return the files."""
    content = {path.name: path.read_bytes() for path in sorted(ASSETS.iterdir())}
    digest = hashlib.sha256()
    for name, data in content.items():
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return Files(content, digest.hexdigest()[:12])


def page(request: Request, name: str, currency: str = "") -> Response:
    """Return an HTML page; a browser asks each time whether it is still the same."""
    held = files()
    tag = f'"{held.version}{currency}"'
    headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    text = held.content[name].decode().replace(PLACE, f"/assets/{held.version}")
    text = text.replace(CURRENCY, currency)
    return Response(text, headers=headers, media_type="text/html")


def asset(request: Request) -> Response:
    """Return a file for a page; an older version of it is gone."""
    held = files()
    name = request.path_params["name"]
    if request.path_params["version"] != held.version or name not in held.content:
        raise HTTPException(404)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {**HEADERS, "Cache-Control": LONG}
    return Response(held.content[name], headers=headers, media_type=kind)
