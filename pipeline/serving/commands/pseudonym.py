"""Print the pseudonyms that replace user ids in the logs."""

import argparse
import os
from collections.abc import Sequence

from pipeline.contracts.params import read_params
from pipeline.serving.api.middleware import salt_path
from pipeline.serving.environment import keys_path
from pipeline.serving.observability.pseudonyms import Pseudonyms, read_salt


def main(argv: Sequence[str]) -> int:
    """Return 0 after printing one pseudonym per user.

    Raises:
        EvergreenError: The installation's salt cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog="uv run python -m pipeline.serving pseudonym", description=__doc__
    )
    parser.add_argument("user", nargs="+", help="a user_id")
    arguments = parser.parse_args(argv)
    path = keys_path(os.environ, read_params().serving.keys)
    pseudonyms = Pseudonyms(read_salt(salt_path(path)))
    for user in arguments.user:
        print(pseudonyms.of(user))
    return 0
