"""Fit variables: epochs with a progress bar, early stopping, checkpoints.

Each part of a family (such as the network and the explore head) is fitted on its own loss and
stops by its own validation score. The seed determines all random choices.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.contracts.atomic import whole_file
from pipeline.contracts.errors import TrainingError
from pipeline.contracts.family_metrics import FitProbe
from pipeline.contracts.params import FamilySection
from pipeline.runtime.progress import log_progress

CHECKPOINTS = Path("models/checkpoints")
FINAL_RATE = 0.02


@dataclass
class Fitted:
    """Record of a fit.

    Attributes:
        epochs: Epoch (from 1) of the final weights.
        curve: One row per epoch: epoch, loss, the validation score or None, the loss of the first
            batch, the median and the largest norm of the gradient.
        probe: Debugging numbers of the part, for the diagnosis.
    """

    epochs: int
    curve: list[dict[str, Any]] = field(default_factory=list)
    probe: FitProbe = field(default_factory=FitProbe)


@dataclass(frozen=True)
class Schedule:
    """Epochs, patience, rates and seed of a fit."""

    epochs: int
    patience: int
    learning_rate: float
    weight_decay: float
    seed: int

    @classmethod
    def of(cls, section: FamilySection, *, seed: int, epochs: int | None) -> "Schedule":
        """Return the schedule of a family's section; `epochs` overrides its number of epochs."""
        length = section.epochs if epochs is None else epochs
        return cls(length, section.patience, section.learning_rate, section.weight_decay, seed)


def set_seed(seed: int) -> None:
    """Seed Keras and TensorFlow, and make their operations deterministic."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(  # noqa: PLR0913  each is one replaceable part
    name: str,
    variables: list[Any],
    *,
    batches: Callable[[np.random.Generator], Iterator[tuple[Any, ...]]],
    n_batches: int,
    loss: Callable[..., tf.Tensor],
    validate: Callable[[], float] | None,
    schedule: Schedule,
    key: str,
) -> Fitted:
    """Fit `variables` in place and leave them at the best epoch.

    Args:
        name: Label of the progress bar.
        variables: Learned variables, and other state such as dropout seeds.
        batches: Maps a random generator to the batches of one epoch.
        n_batches: Number of batches per epoch.
        loss: Maps a batch to a scalar.
        validate: Returns a score, higher is better; None keeps the last epoch.
        schedule: Epochs, patience, rates, seed.
        key: Digest of the inputs; a checkpoint of other inputs or other code is not resumed.

    Raises:
        TrainingError: The loss is not finite.
    """
    learned = [v for v in variables if v.trainable]
    optimizer = _optimizer(schedule, n_batches, learned)
    kept = [*variables, *optimizer.variables]
    checkpoint = Checkpoint(CHECKPOINTS / f"{name}.npz", key_of(key, code_digest()))
    fitted, best, best_values = checkpoint.restore(kept, Fitted(0), variables)
    step = _step(loss, learned, optimizer)
    for epoch in range(len(fitted.curve) + 1, schedule.epochs + 1):
        if len(fitted.curve) - fitted.epochs >= schedule.patience:
            break
        random = np.random.default_rng([schedule.seed, epoch])
        losses, norms = [], []
        title = f"{name}: epoch {epoch} of {schedule.epochs}"
        for number, batch in enumerate(log_progress(batches(random), title, n_batches)):
            value, norm = (float(value_or_norm) for value_or_norm in step(*batch))
            _check_finite(value, name, epoch, number)
            losses.append(value)
            norms.append(norm)
        score = None if validate is None else validate()
        row = {"epoch": epoch, "loss": sum(losses) / n_batches, "validation": score}
        fitted.curve.append(row | _debugging(losses, norms))
        if score is None or score > best:
            best = -np.inf if score is None else score
            fitted.epochs, best_values = epoch, copy_values(variables)
        checkpoint.save(kept, fitted, best, best_values)
    for variable, value in zip(variables, best_values, strict=True):
        variable.assign(value)
    return fitted


def _optimizer(schedule: Schedule, n_batches: int, learned: list[Any]) -> Any:
    rate = keras.optimizers.schedules.CosineDecay(
        schedule.learning_rate, schedule.epochs * n_batches, alpha=FINAL_RATE
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=schedule.weight_decay)
    optimizer.build(learned)
    return optimizer


def _step(loss: Callable[..., tf.Tensor], learned: list[Any], optimizer: Any) -> Any:
    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(*batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            value = loss(*batch)
        gradients = tape.gradient(value, learned)
        optimizer.apply_gradients(zip(gradients, learned, strict=True))
        return value, tf.linalg.global_norm(gradients)

    return step


def _debugging(losses: list[float], norms: list[float]) -> dict[str, float]:
    """Return the debugging numbers of an epoch."""
    return {
        "first_loss": losses[0],
        "gradient_median": float(np.median(norms)),
        "gradient_largest": max(norms),
    }


def _check_finite(value: float, name: str, epoch: int, batch: int) -> None:
    if not np.isfinite(value):
        raise TrainingError(
            f"a finite loss of '{name}'",
            received=f"{value} at batch {batch} of epoch {epoch}",
            action="Lower its learning_rate under families, or look for extreme values in the "
            "data. The checkpoint of the last good epoch remains.",
        )


def copy_values(variables: list[Any]) -> list[Any]:
    """Return copies of the values of TensorFlow or Keras variables."""
    return [variable.numpy().copy() for variable in variables]


@dataclass(frozen=True)
class Checkpoint:
    """The state after an epoch, on disk; `clear_checkpoints` removes it after training."""

    path: Path
    key: str

    def save(self, kept: list[Any], fitted: Fitted, best: float, best_values: list[Any]) -> None:
        """Write the state that the next epoch needs."""
        arrays = {f"kept_{at}": value for at, value in enumerate(copy_values(kept))}
        arrays |= {f"best_{at}": value for at, value in enumerate(best_values)}
        state = {"key": self.key, "epochs": fitted.epochs, "curve": fitted.curve, "best": best}
        arrays["state"] = np.array(json.dumps(state))
        with whole_file(self.path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)

    def restore(
        self, kept: list[Any], fresh: Fitted, variables: list[Any]
    ) -> tuple[Fitted, float, list[Any]]:
        """Restore the state of an interrupted fit of the same inputs, or return `fresh`."""
        start = fresh, -np.inf, copy_values(variables)
        if not self.path.exists():
            return start
        with np.load(self.path, allow_pickle=False) as arrays:
            state = json.loads(str(arrays["state"]))
            if state["key"] != self.key:
                return start
            for at, variable in enumerate(kept):
                variable.assign(arrays[f"kept_{at}"])
            best_values = [arrays[f"best_{at}"] for at in range(len(variables))]
        return Fitted(state["epochs"], state["curve"]), state["best"], best_values


def clear_checkpoints() -> None:
    """Remove the checkpoints of completed fits."""
    for path in CHECKPOINTS.glob("*.npz"):
        path.unlink()


@cache
def code_digest() -> str:
    """Return a digest of the source code of all families."""
    files = sorted(Path(__file__).parents[1].rglob("*.py"))
    return key_of(*(file.read_bytes() for file in files))


def key_of(*parts: Any) -> str:
    """Return a short digest of the inputs of a fit.

    >>> key_of({"a": 1}) == key_of({"a": 1}) != key_of({"a": 2})
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
        digest.update(data)
    return digest.hexdigest()[:16]
