"""dvc.yaml declares exactly the dependencies and outputs of each stage."""

import ast
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.contracts import artefacts
from pipeline.contracts.params import Params
from pipeline.contracts.phases import PHASES
from pipeline.contracts.verdicts import HEADLINES
from tests.support import tiny_shop
from tests.support.tiny_shop import PROJECT

PIPELINE = YAML(typ="safe", pure=True).load((PROJECT / "dvc.yaml").read_text())
STAGES = PIPELINE["stages"]
# The Bento that deployment builds and monitoring starts carries the endpoint's code with it.
SOURCE = "${collection.source.path}"
DVC = str(Path(sys.executable).parent / "dvc")
CARRIED = ("deployment", "monitoring")
# The look of pages shapes no number: an edit there re-runs nothing.
PRESENTATION = "pipeline/presentation"


def module_file(name: str) -> Path | None:
    path = PROJECT / Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def imported(path: Path) -> set[Path]:
    """The project's files that `path` imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parents = {name.rsplit(".", n)[0] for name in names for n in range(name.count(".") + 1)}
    files = {module_file(name) for name in parents if name.split(".")[0] == "pipeline"}
    return {file for file in files if file is not None}


def entry_point(stage: str) -> Path:
    """The file that the command of `stage` runs."""
    module = STAGES[stage]["cmd"].split()[2]
    folder = PROJECT / Path(*module.split("."))
    file = folder / "__main__.py"
    return file if file.exists() else folder.with_suffix(".py")


@cache
def closure(stage: str) -> set[str]:
    """Every file of pipeline/ that the command of `stage` may import."""
    waiting = {entry_point(stage)}
    if stage in CARRIED:
        waiting.add(PROJECT / "pipeline/serving/service.py")
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        seen.add(file)
        waiting |= imported(file) - seen
    return {str(file.relative_to(PROJECT)) for file in seen}


def is_package_text(file: str) -> bool:
    """Return whether a file holds only a docstring."""
    return len(ast.parse((PROJECT / file).read_text(encoding="utf-8")).body) == 1


def inside(file: str, folders: set[str]) -> bool:
    return any(str(parent) in folders for parent in Path(file).parents)


def test_the_stages_are_the_phases_in_order_with_the_fits_before_what_needs_them() -> None:
    expected = list(PHASES)
    expected.insert(expected.index("training"), "families")
    expected.insert(expected.index("deployment"), "refit")
    assert list(STAGES) == expected


def declared(stage: str) -> list[str]:
    return [dep for dep in STAGES[stage]["deps"] if dep.split("/")[0] == "pipeline"]


def missing(stage: str, folders: list[str]) -> set[str]:
    """Return the imports of the stage outside these folders, except presentation."""
    known = {*folders, PRESENTATION}
    outside = {file for file in closure(stage) if not (file in known or inside(file, known))}
    return {file for file in outside if not is_package_text(file)}


@pytest.mark.parametrize("stage", STAGES)
def test_the_import_closure_lies_inside_the_declared_folders(stage: str) -> None:
    assert missing(stage, declared(stage)) == set()


@pytest.mark.parametrize("stage", STAGES)
def test_every_declared_folder_is_needed(stage: str) -> None:
    for folder in declared(stage):
        rest = [other for other in declared(stage) if other != folder]
        assert missing(stage, rest), f"{stage} imports nothing of {folder}"


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_depends_on_how_pages_look(stage: str) -> None:
    assert not [dep for dep in declared(stage) if is_within(PRESENTATION, dep)]


def rerun(path: str) -> set[str]:
    """Return the stages that an edit of a file re-runs, if all outputs change."""
    hit = {name for name in STAGES if any(is_within(path, dep) for dep in declared(name))}
    for name in STAGES:
        made = [
            out
            for upstream in hit
            for kind in ("outs", "metrics")
            for out in outputs(upstream, kind)
        ]
        if any(is_within(dep, out) for dep in STAGES[name]["deps"] for out in made):
            hit.add(name)
    return hit


@pytest.mark.parametrize(
    "path",
    [
        "pipeline/serving/storefront/assets/style.css",
        "pipeline/serving/api/item_routes.py",
        "pipeline/deployment/report.py",
        "pipeline/monitoring/decide.py",
        "pipeline/presentation/pages.py",
    ],
)
def test_what_computes_no_number_of_a_fit_fits_nothing_again(path: str) -> None:
    assert (PROJECT / path).is_file()
    assert not rerun(path) & {"families", "training", "refit"}


def test_a_feature_fits_everything_again_and_a_page_nothing() -> None:
    feature = rerun("pipeline/recommenders/ranker/features.py")
    assert {"families", "training", "testing", "refit", "deployment", "monitoring"} == feature
    assert rerun("pipeline/presentation/pages.py") == set()


@pytest.mark.parametrize("key", ["log_level", "host", "port", "storefront", "keys"])
def test_a_setting_of_the_endpoint_fits_nothing_again(key: str) -> None:
    readers = {
        name
        for name, stage in STAGES.items()
        if {"serving", f"serving.{key}"} & set(stage["params"])
    }
    assert readers <= {"deployment"}  # whose Bento carries params.yaml


@pytest.mark.parametrize("stage", CARRIED)
def test_pages_and_examples_that_the_bento_carries_are_deps_too(stage: str) -> None:
    """Files that are not code have no imports to follow: their whole folder must be a dep."""
    rooms = {PROJECT / Path(file).parent for file in closure(stage)} - {PROJECT / PRESENTATION}
    others = {
        str(path.relative_to(PROJECT))
        for room in rooms
        for path in room.rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert "pipeline/serving/storefront/assets/index.html" in others
    assert {file for file in others if not inside(file, set(declared(stage)))} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_whole_sections_or_keys_that_exist(stage: str) -> None:
    values = Params.model_validate(
        YAML(typ="safe", pure=True).load((PROJECT / "params.yaml").read_text())
    ).model_dump()
    for name in STAGES[stage]["params"]:
        section = values
        for part in name.split("."):
            assert part in section, f"{stage} depends on an unknown parameter: {name}"
            section = section[part]


@pytest.mark.parametrize("stage", [*PHASES, "refit"])
def test_every_artefact_is_an_output_of_its_stage(stage: str) -> None:
    stages = {"training": ["families", "training"]}.get(stage, [stage])
    kinds = ("outs", "metrics", "plots")
    written = {path for name in stages for kind in kinds for path in outputs(name, kind)}
    known = [a for a in vars(artefacts).values() if isinstance(a, artefacts.Artefact)]
    if stage in PHASES:
        known += [artefacts.page(stage), artefacts.verdict(stage)]  # type: ignore[arg-type]
    for artefact in known:
        if artefact.stage == stage:
            path = str(artefact.path)
            assert any(is_within(path, out) or is_within(out, path) for out in written), path


@pytest.mark.parametrize("stage", STAGES)
def test_inputs_are_outputs_of_an_earlier_stage(stage: str) -> None:
    earlier = list(STAGES)[: list(STAGES).index(stage)]
    made = [out for name in earlier for kind in ("outs", "metrics") for out in outputs(name, kind)]
    given = (SOURCE, "data/corrections", "data/reviewed", "data/suppressed", "data/accepted")
    for dep in STAGES[stage]["deps"]:
        is_given = any(is_within(dep, place) for place in given)
        if dep.split("/")[0] != "pipeline" and not is_given:
            assert any(is_within(dep, out) or is_within(out, dep) for out in made), dep


def gate_of(stage: str) -> str | None:
    """Return what the entry point of `stage` declares as `after`."""
    tree = ast.parse(entry_point(stage).read_text(encoding="utf-8"))
    main = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "main")
    (decorator,) = main.decorator_list
    assert isinstance(decorator, ast.Call), f"{stage} is no @stage and no @part"
    assert ast.unparse(decorator.func) in {"stage", "part", "step"}
    (after,) = [word.value for word in decorator.keywords if word.arg == "after"]
    value = ast.literal_eval(after)
    assert value is None or value in PHASES
    return None if value is None else str(value)


def gates_of(stage: str) -> set[str]:
    """Return every phase whose verdict must proceed before `stage` can run."""
    before = gate_of(stage)
    return set() if before is None else {before, *gates_of(before)}


@pytest.mark.parametrize("stage", STAGES)
def test_only_the_first_stage_has_no_gate(stage: str) -> None:
    assert (gate_of(stage) is None) == (stage == PHASES[0])


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_verdict_before_it_and_on_what_was_accepted_of_it(
    stage: str,
) -> None:
    after = gate_of(stage)
    deps = [dep for dep in STAGES[stage]["deps"] if dep.startswith("data/accepted")]
    assert deps == ([] if after is None else [f"data/accepted/{after}.json"])
    if after is not None:
        assert f"reports/{after}/verdict.json" in STAGES[stage]["deps"]
        assert (PROJECT / "data" / "accepted" / f"{after}.json").is_file()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_only_what_its_gates_have_judged(stage: str) -> None:
    """For every input of a stage, a gate checks the verdict on it."""
    judged = {"families": "training", "refit": "testing"}
    makers = {
        judged.get(name, name)
        for name in STAGES
        for kind in ("outs", "metrics", "plots")
        for out in outputs(name, kind)
        for dep in STAGES[stage]["deps"]
        if is_within(dep, out) or is_within(out, dep)
    }
    assert makers - {stage} <= gates_of(stage)


def is_within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}/")


def outputs(stage: str, kind: str) -> list[str]:
    entries = STAGES[stage].get(kind, [])
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def test_the_metrics_are_the_phases_headlines_and_about_ten() -> None:
    metrics = [path for stage in STAGES for path in outputs(stage, "metrics")]
    assert metrics == [str(artefacts.headline(phase).path) for phase in HEADLINES]
    assert 8 <= sum(map(len, HEADLINES.values())) <= 12


def test_every_plot_names_columns_of_an_output_and_a_template() -> None:
    made = {out for stage in STAGES for out in outputs(stage, "outs")}
    built_in = {"linear", "simple"}
    for (plot,) in (entry.values() for entry in PIPELINE["plots"]):
        template = PROJECT / ".dvc" / "plots" / f"{plot['template']}.json"
        assert plot["template"] in built_in or template.exists(), plot
        ((file, columns),) = plot["y"].items()
        assert file in made
        with (PROJECT / file).open(encoding="utf-8") as stream:
            header = stream.readline().strip().split(",")
        named = {plot["x"], *([columns] if isinstance(columns, str) else columns)}
        fields = set(re.findall(r'"field": "([a-z_]+)"', template.read_text(encoding="utf-8")))
        assert named | (fields - {"rev", "field"}) <= set(header), plot


@pytest.mark.slow
@pytest.mark.parametrize("place", ["elsewhere", "linked", "data/source"])
def test_a_change_of_the_source_anywhere_is_a_change_of_what_reads_it(
    tmp_path: Path, place: str
) -> None:
    """DVC with the project's dependencies on the source, and commands that do nothing."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    folder = {"elsewhere": elsewhere, "linked": elsewhere}.get(place, project / place)
    folder.mkdir(parents=True)
    project.mkdir(exist_ok=True)
    (project / "linked").symlink_to(elsewhere)
    (folder / "events.csv").write_text("a")
    values = tiny_shop.params(source=str(elsewhere) if place == "elsewhere" else place)
    tiny_shop.write_params(project / "params.yaml", values)
    readers = [name for name in STAGES if SOURCE in STAGES[name]["deps"]]
    stages = {name: {"cmd": "echo", "deps": [SOURCE]} for name in readers}
    (project / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    for command in (("init", "--no-scm", "--quiet"), ("repro", "--quiet")):
        subprocess.run([DVC, *command], cwd=project, check=True, capture_output=True)
    assert changed(project) == set()
    (folder / "events.csv").write_text("b")
    assert changed(project) == {"planning", "collection"} == set(readers)


def changed(project: Path) -> set[str]:
    done = subprocess.run(
        [DVC, "status", "--json"], cwd=project, check=True, capture_output=True, text=True
    )
    return set(json.loads(done.stdout))
