"""Make, list and revoke the API keys of the endpoint. A running service follows within a second.

Reads and writes: serving.keys of params.yaml, or $EVERGREEN_KEYS. Writes: the audit log.
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
    """Return 0 when it is done.

    Raises:
        EvergreenError: It could not be.
    """
    arguments = _parser().parse_args(argv)
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
            print("No keys." if keys == {} else "No keys: it answers on loopback only.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="uv run python -m pipeline.serving key",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True)
    create = actions.add_parser("create", help="make a key and print it, once")
    create.add_argument("--scopes", required=True, help="of recommend, events, admin: with commas")
    create.add_argument(
        "--name",
        default=f"key-{secrets.token_hex(3)}",
        help="whose it is: small letters, digits, dashes; one is made up if absent",
    )
    actions.add_parser("list", help="names, scopes and dates; never the keys themselves")
    actions.add_parser("revoke", help="take a key away").add_argument("name")
    return parser
