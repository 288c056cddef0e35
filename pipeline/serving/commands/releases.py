"""Show what answers, what is on trial, what running services say, and what is kept.

Reads:  models/releases/, models/champion/
Writes: nothing
"""

from collections.abc import Sequence

from pipeline.bundles.archive import archived_versions
from pipeline.bundles.release_pointer import Pointer
from pipeline.serving.commands.common import parser, place
from pipeline.serving.releases.running import Running, running
from pipeline.serving.releases.store import ReleaseStore


def main(argv: Sequence[str]) -> int:
    """Return 0 when it could be told.

    Raises:
        ArtefactError: The pointer is damaged, or there is no champion.
    """
    parser("releases", __doc__).parse_args(argv)
    here = place()
    print("\n".join(_lines(here, here.pointer())))
    return 0


def _lines(here: ReleaseStore, pointer: Pointer) -> list[str]:
    lines = [f"champion  {pointer.champion}  from {here.bundle(pointer.champion)}"]
    lines.append(f"previous  {pointer.previous or '-'}")
    lines.append(f"shadow    {pointer.shadow or '-'}")
    canary = pointer.canary
    lines.append(
        f"canary    {canary.version}  {canary.share:.1%} of shoppers" if canary else "canary    -"
    )
    if pointer.stopped:
        stopped = pointer.stopped
        lines.append(f"stopped   {stopped.version}  {stopped.at}  {stopped.reason}")
    lines.append(f"kept      {'  '.join(archived_versions(here.folder)) or '-'}")
    workers = running(here.folder)
    lines += [line for name, each in workers.items() for line in _worker(name, each)]
    return lines if workers else [*lines, "running   no service"]


def _worker(name: str, worker: Running) -> list[str]:
    lines = [f"running   {name} answers with {worker.champion}"]
    if worker.trial:
        lines.append(f"          {worker.trial}")
    return [*lines, *(f"          refused: {reason}" for reason in worker.refused.values())]
