"""Create, list and revoke API keys. A running service follows within a second.

Reads and writes: serving.keys in params.yaml, or $EVERGREEN_KEYS. Writes: the audit log.
"""

import argparse
import os
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from pipeline.contracts.params import read_params
from pipeline.serving.environment import audit_log_path, keys_path
from pipeline.serving.security.audit import Audit
from pipeline.serving.security.keys import create_key, read_keys, revoke_key

if TYPE_CHECKING:
    from pipeline.serving.security.routes import AccessScope


def main(argv: Sequence[str]) -> int:
    """Return 0 after creating, listing or revoking keys.

    Raises:
        EvergreenError: The key file cannot be used, or the name or a scope is invalid.
    """
    arguments = _build_parser().parse_args(argv)
    params = read_params().serving
    path = keys_path(os.environ, params.keys)
    audit = Audit(audit_log_path(os.environ, params.audit_log))
    if arguments.action == "create":
        scopes = tuple(part.strip() for part in arguments.scopes.split(",") if part.strip())
        print(create_key(path, arguments.name, cast("tuple[AccessScope, ...]", scopes)))
        audit.write("key_created", key=arguments.name, scopes=",".join(scopes))
    elif arguments.action == "revoke":
        revoke_key(path, arguments.name)
        audit.write("key_revoked", key=arguments.name)
    else:
        keys = read_keys(path)
        for key in (keys or {}).values():
            print(f"{key.name:<32} {','.join(key.scopes):<24} {key.created}")
        if not keys:
            print("No keys." if keys == {} else "No keys: the service is open on loopback only.")
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="uv run python -m pipeline.serving key",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="create a key and print it, once")
    create.add_argument(
        "--scopes", required=True, help="recommend, events, admin; separated by commas"
    )
    create.add_argument(
        "--name",
        default=f"key-{secrets.token_hex(3)}",
        help="lowercase letters, digits and dashes; default: a generated name",
    )
    actions.add_parser("list", help="list names, scopes and dates, not the keys themselves")
    actions.add_parser("revoke", help="revoke a key").add_argument("name")
    return parser
