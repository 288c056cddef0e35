"""Show the champion, the trials, the archived versions and the running workers.

Reads:  models/releases/, models/champion/
Writes: nothing
"""

from collections.abc import Sequence

from pipeline.bundles.archive import list_versions
from pipeline.bundles.release_pointer import Pointer
from pipeline.serving.commands.common import build_parser, locate_release_store
from pipeline.serving.releases.store import ReleaseStore
from pipeline.serving.releases.worker_state import WorkerState, read_workers


def main(argv: Sequence[str]) -> int:
    """Return 0 after printing the state.

    Raises:
        ArtefactError: The pointer is damaged, or models/champion is missing.
    """
    build_parser("releases", __doc__).parse_args(argv)
    store = locate_release_store()
    print("\n".join(_format_state(store, store.read_pointer())))
    return 0


def _format_state(store: ReleaseStore, pointer: Pointer) -> list[str]:
    lines = [f"champion  {pointer.champion}  from {store.bundle_path(pointer.champion)}"]
    lines.append(f"previous  {pointer.previous or '-'}")
    lines.append(f"shadow    {pointer.shadow or '-'}")
    canary = pointer.canary
    lines.append(
        f"canary    {canary.version}  {canary.share:.1%} of users" if canary else "canary    -"
    )
    if pointer.stopped:
        stopped = pointer.stopped
        lines.append(f"stopped   {stopped.version}  {stopped.at}  {stopped.reason}")
    lines.append(f"archived  {'  '.join(list_versions(store.folder)) or '-'}")
    workers = read_workers(store.folder)
    lines += [line for name, state in workers.items() for line in _format_worker(name, state)]
    return lines if workers else [*lines, "running   no service"]


def _format_worker(name: str, worker: WorkerState) -> list[str]:
    lines = [f"running   {name} serves {worker.champion}"]
    if worker.trial:
        lines.append(f"          {worker.trial}")
    return [*lines, *(f"          refused: {reason}" for reason in worker.refused.values())]
