"""The storefront's files, read once; their URL contains a content hash, so browsers cache them.

A page may load from this service only, and runs no inline script.
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
ASSETS_MARK, CURRENCY_MARK = "{{assets}}", "{{currency}}"
IMMUTABLE = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class AssetFiles:
    """All files by name, and a hash over all of them."""

    content: dict[str, bytes]
    version: str


@cache
def read_assets() -> AssetFiles:
    """Return the files in ASSETS."""
    content = {path.name: path.read_bytes() for path in sorted(ASSETS.iterdir())}
    digest = hashlib.sha256()
    for name, data in content.items():
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return AssetFiles(content, digest.hexdigest()[:12])


def render_page(request: Request, name: str, currency: str = "") -> Response:
    """Return an HTML page, or 304 if the browser's copy is current."""
    assets = read_assets()
    tag = f'"{assets.version}{currency}"'
    headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    text = assets.content[name].decode().replace(ASSETS_MARK, f"/assets/{assets.version}")
    text = text.replace(CURRENCY_MARK, currency)
    return Response(text, headers=headers, media_type="text/html")


def send_asset(request: Request) -> Response:
    """Return a file of the current version, or 404."""
    assets = read_assets()
    name = request.path_params["name"]
    if request.path_params["version"] != assets.version or name not in assets.content:
        raise HTTPException(404)
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {**HEADERS, "Cache-Control": IMMUTABLE}
    return Response(assets.content[name], headers=headers, media_type=media_type)
