"""Results of a search: a page with plots, and the best values in params.yaml."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.contracts.artefacts import write_text
from pipeline.presentation.pages import Page

if TYPE_CHECKING:
    import optuna
    import pandas as pd

SIGNIFICANT_DIGITS = 3
SHORT = {  # so that the table of trials fits on a page
    "batch_size": "batch",
    "encoder_dim": "encoder",
    "cross_rank": "cross",
    "first_hidden": "first",
    "second_hidden": "second",
    "kind_dim": "kind",
    "learning_rate": "rate",
    "weight_decay": "decay",
    "n_weights": "weights",
}


def write_params(path: Path, values: Mapping[str, Any], origin: str) -> None:
    """Write the values to `families.ranker` of params.yaml; the rest of the file is unchanged.

    Args:
        path: Path of params.yaml.
        values: Values by name in `families.ranker`.
        origin: Origin of the values, written as a comment above the section.
    """
    from io import StringIO

    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    document = yaml.load(path.read_text(encoding="utf-8"))
    section = document["families"]["ranker"]
    for name, value in values.items():
        if isinstance(value, tuple):
            section[name].clear()
            section[name].extend(value)
        else:
            section[name] = _rounded(value)
    document["families"].yaml_set_comment_before_after_key("ranker", before=origin, indent=2)
    stream = StringIO()
    yaml.dump(document, stream)
    write_text(stream.getvalue(), path)


def _rounded(value: Any) -> Any:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value


def build_page(study: "optuna.Study", chosen: "optuna.trial.FrozenTrial") -> Page:
    """Return the page of a search: its trials, the chosen one, the importance of parameters."""
    import matplotlib as mpl

    mpl.use("Agg")
    import optuna.visualization.matplotlib as plots

    page = Page(
        "Tuning",
        f"Hyper-parameter search {study.study_name}.",
    )
    page.facts(
        "Chosen trial",
        {"number": chosen.number, "validation NDCG@10": f"{chosen.value:.4f}", **chosen.params},
    )
    page.table(
        "Trials",
        _trials(study),
        "Rolling validation NDCG@10; for a pruned trial, its last value.",
    )
    for title, plot in (
        ("Parallel coordinates", plots.plot_parallel_coordinate),
        ("Importance of the parameters", plots.plot_param_importances),
        ("Best value by trial", plots.plot_optimization_history),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls its plots experimental since 2.2
            figure = plot(study).figure
        figure.set_size_inches(10, 4.5)
        figure.set_layout_engine("tight")
        page.figure(title, figure, "")
    return page


def _trials(study: "optuna.Study") -> "pd.DataFrame":
    """Return one row per trial, best first."""
    table = study.trials_dataframe(attrs=("number", "value", "state", "user_attrs", "params"))
    names = {name: name.removeprefix("params_").removeprefix("user_attrs_") for name in table}
    table = table.rename(columns=names).rename(columns=SHORT)
    table["state"] = table["state"].str.lower()
    best_first: pd.DataFrame = table.sort_values("value", ascending=False)
    return best_first
