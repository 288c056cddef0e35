"""dvc.yaml says exactly what each stage depends on, and where it writes."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import artefacts
from pipeline.params import Params
from pipeline.verdicts import HEADLINES, PHASES
from tests import tiny_shop
from tests.tiny_shop import PROJECT

PIPELINE = YAML(typ="safe", pure=True).load((PROJECT / "dvc.yaml").read_text())
STAGES = PIPELINE["stages"]
# The Bento that deployment builds and monitoring starts carries the endpoint's code with it.
SOURCE = "${collection.source.path}"
DVC = str(Path(sys.executable).parent / "dvc")
CARRIED = {
    "deployment": "pipeline/serving/__init__.py",
    "monitoring": "pipeline/serving/__init__.py",
}


def module_file(name: str) -> Path | None:
    path = PROJECT / Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


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


def closure(stage: str) -> set[str]:
    """Every file of pipeline/ that running `python -m pipeline.<stage>` may import."""
    folder = PROJECT / "pipeline" / stage
    waiting = {folder / "__main__.py", folder / "__init__.py", PROJECT / "pipeline/__init__.py"}
    if stage in CARRIED:
        waiting |= set((PROJECT / CARRIED[stage]).parent.glob("*.py"))
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        seen.add(file)
        waiting |= imported(file) - seen
    return {str(file.relative_to(PROJECT)) for file in seen}


def compact(files: set[str]) -> list[str]:
    """The same files, whole folders named once, in the order of dvc.yaml."""
    folders = {str(Path(file).parent) for file in files} - {"pipeline"}
    whole = {
        folder
        for folder in folders
        if {str(p.relative_to(PROJECT)) for p in (PROJECT / folder).rglob("*.py")} <= files
    }
    whole -= {folder for folder in whole if str(Path(folder).parent) in whole}
    return sorted(whole | {file for file in files if not inside(file, whole)})


def inside(file: str, folders: set[str]) -> bool:
    return any(str(parent) in folders for parent in Path(file).parents)


def test_the_stages_are_the_phases_in_order_with_the_families_before_training() -> None:
    expected = list(PHASES)
    expected.insert(expected.index("training"), "families")
    assert list(STAGES) == expected


@pytest.mark.parametrize("stage", STAGES)
def test_code_deps_are_the_import_closure(stage: str) -> None:
    declared = [dep for dep in STAGES[stage]["deps"] if dep.split("/")[0] == "pipeline"]
    expected = compact(closure(stage))
    assert declared == expected, f"in dvc.yaml, {stage} needs deps:\n" + "\n".join(
        f"      - {dep}" for dep in expected
    )


@pytest.mark.parametrize("stage", CARRIED)
def test_pages_and_examples_that_the_bento_carries_are_deps_too(stage: str) -> None:
    """Files that are not code have no imports to follow: their whole folder must be a dep."""
    rooms = {PROJECT / Path(file).parent for file in closure(stage)}
    others = {
        str(path.relative_to(PROJECT))
        for room in rooms
        for path in room.rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert "pipeline/storefront/assets/index.html" in others
    declared = set(STAGES[stage]["deps"])
    assert {file for file in others if not inside(file, declared)} == set()


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


@pytest.mark.parametrize("stage", PHASES)
def test_every_artefact_is_an_output_of_its_stage(stage: str) -> None:
    stages = [stage, "families"] if stage == "training" else [stage]
    kinds = ("outs", "metrics", "plots")
    declared = {path for name in stages for kind in kinds for path in outputs(name, kind)}
    known = [a for a in vars(artefacts).values() if isinstance(a, artefacts.Artefact)]
    known += [artefacts.page(stage), artefacts.verdict(stage)]  # type: ignore[arg-type]
    for artefact in known:
        if artefact.stage == stage:
            path = str(artefact.path)
            assert any(is_within(path, out) or is_within(out, path) for out in declared), path


@pytest.mark.parametrize("stage", STAGES)
def test_inputs_are_outputs_of_an_earlier_stage(stage: str) -> None:
    earlier = list(STAGES)[: list(STAGES).index(stage)]
    made = [out for name in earlier for kind in ("outs", "metrics") for out in outputs(name, kind)]
    given = (SOURCE, "data/reviewed", "data/suppressed", "data/accepted")
    for dep in STAGES[stage]["deps"]:
        is_given = any(is_within(dep, place) for place in given)
        if dep.split("/")[0] != "pipeline" and not is_given:
            assert any(is_within(dep, out) or is_within(out, dep) for out in made), dep


def gate_of(stage: str) -> str | None:
    """What the entry point of `stage` declares as `after`."""
    tree = ast.parse((PROJECT / "pipeline" / stage / "__main__.py").read_text(encoding="utf-8"))
    main = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "main")
    (decorator,) = main.decorator_list
    assert isinstance(decorator, ast.Call), f"{stage} is no @stage and no @part"
    assert ast.unparse(decorator.func) in {"stage", "part"}
    (after,) = [word.value for word in decorator.keywords if word.arg == "after"]
    value = ast.literal_eval(after)
    assert value is None or value in PHASES
    return None if value is None else str(value)


def gates_of(stage: str) -> set[str]:
    """Every phase whose verdict has to proceed before `stage` can run."""
    before = gate_of(stage)
    return set() if before is None else {before, *gates_of(before)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_what_its_gate_guards(stage: str) -> None:
    assert STAGES[stage]["cmd"].split()[:3] == ["python", "-m", f"pipeline.{stage}"]


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
    """Whatever a stage reads, the verdict on it lies behind one of the gates."""
    judged = {"families": "training"}
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
    """DVC itself, with the project's dependencies on the source and commands that do nothing."""
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
