"""The errors of the loop.

EvergreenError
├── LoopError             the loop cannot run or go on
│   ├── StorageError      a file of the loop cannot be written: a full disk
│   ├── RefusedStepError  a step cannot be applied: its precondition is not met
│   └── ConflictError     someone else has changed what a step changed
└── ArtefactError
    └── LedgerError       the ledger or a question is damaged, or of another version
"""

from pipeline.contracts.errors import ArtefactError, EvergreenError


class LoopError(EvergreenError):
    """The loop cannot run or go on."""


class StorageError(LoopError):
    """A file of the loop cannot be written."""


class RefusedStepError(LoopError):
    """A step cannot be applied, because its precondition is not met."""


class ConflictError(LoopError):
    """Someone else has changed what a step changed."""


class LedgerError(ArtefactError):
    """The ledger or a question is damaged, or of another version."""
