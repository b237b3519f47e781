"""The drawing of the imports: what each module of lrcore may import, and how long a file may be."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lrcore"

# From the ground up: a module may import what stands in its own row or in one before it, and nothing that comes after.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("checks", "arrays", "settings", "files", "startup", "_cpu", "_averages", "_guard", "_lrcore_pool", "_schedules"),
    ("reference",),
    ("pool", "kernels", "_kernels", "_floor"),
    ("buffer",),
    ("structure", "hyperparameters"),
    ("state", "norms"),
    ("groups", "spans", "options"),
    ("stateful", "sums"),
    ("base", "directed", "registry"),
    ("optimizers",),
    ("schedules", "divergence", "averages"),
    ("minimize",),
    ("watch",),
    ("control", "finder", "saving"),
    ("checkpoint",),
    ("train", "data"),
    ("bench",),
    ("cli", "__main__"),
)
LEVEL = {name: level for level, row in enumerate(LAYERS) for name in row}
CORE = {name for row in LAYERS[:15] for name in row}
ENTRY = "__init__"  # the front door, which imports what it shows
MOST_LINES = 500
ONE_CONCEPT = {"schedules.base", "schedules.decays"}
"""Longer, and one thing all the same: a schedule with the compositions that its methods make; a formula a class."""


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts)


MODULES = {module_of(path): path for path in files()}


def room(module: str) -> str:
    """The module or folder right under ``lrcore``."""
    return module.split(".")[0]


def imported(path: Path, at_import: bool) -> Iterator[str]:
    """Full names that a file imports; only those that are imported with it, if asked for."""

    def walk(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path.name} imports relatively"
                yield child.module or ""
                yield from (f"{child.module}.{alias.name}" for alias in child.names)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                yield from (name for rest in child.orelse for name in walk(rest))
            elif at_import and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                continue
            else:
                yield from walk(child)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")))


def within(module: str, at_import: bool) -> set[str]:
    """Modules of lrcore that a module of lrcore imports."""
    found = set()
    for name in imported(MODULES[module], at_import):
        head, _, rest = name.partition(".")
        while head == "lrcore" and rest and rest not in MODULES:
            rest = rest.rpartition(".")[0]
        if head == "lrcore" and rest and rest != module:
            found.add(rest)
    return found


def test_every_room_is_on_the_drawing() -> None:
    rooms = {room(module) for module in MODULES} - {ENTRY}
    unknown = rooms - LEVEL.keys() - FRONT_ENDS
    assert not unknown, f"give {', '.join(sorted(unknown))} a place in LAYERS"


FRONT_ENDS: set[str] = set()
"""Rooms imported only by who asks for them: none in lrcore may import one, but the command line."""


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {ENTRY}))
def test_no_arrow_points_upwards(module: str) -> None:
    """Nor to a front end; an import within a function counts as one at the top."""
    mine = LEVEL.get(room(module), len(LAYERS))
    for other in within(module, at_import=False):
        level = LEVEL.get(room(other), len(LAYERS))
        assert level <= mine, f"lrcore.{module} must not import lrcore.{other}, which stands above it"


def test_the_core_has_no_cycle() -> None:
    arrows = {m: {o for o in within(m, True) if room(o) in CORE} for m in MODULES if room(m) in CORE}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a cycle of imports: {' -> '.join((*path[path.index(module) :], module))}"
        if module in done:
            return
        for other in sorted(arrows[module]):
            # A package's modules may import it only if it does not import them: visited as any other.
            visit(other, (*path, module))
        done.add(module)

    for module in arrows:
        visit(module, ())


def test_only_the_command_line_imports_what_training_needs() -> None:
    users = {room(m) for m in MODULES if any(room(o) == "train" for o in within(m, at_import=False))}
    assert users <= {"cli", "train", "data"}  # where reading tables was in 0.1


@pytest.mark.parametrize("module", sorted(m for m in MODULES if room(m) in CORE | {ENTRY}))
def test_the_core_needs_numpy_alone(module: str) -> None:
    """What comes with Python, NumPy and lrcore; others are imported where they are used, and only there."""
    for name in imported(MODULES[module], at_import=True):
        top = name.split(".")[0]
        assert top in ("numpy", "lrcore") or top in sys.stdlib_module_names, f"lrcore.{module} imports {name}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_file_is_long(module: str) -> None:
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES or module in ONE_CONCEPT, f"lrcore.{module} has {lines} lines"


def test_the_page_on_architecture_draws_the_same() -> None:
    """Its rows are those above, from the ground up, and its table names every room."""
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r'^ +\w+\["(.*)"\]$', page, re.M)
    assert tuple(tuple(re.split(" · |<br>", row)) for row in rows) == LAYERS
    table = {name for row in re.findall(r"^\| (`.*?) \|", page, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert table == LEVEL.keys()
    for path in re.findall(r"`((?:lrcore|src|tests)/[\w./]+)`", page):
        assert (PACKAGE.parent / path).exists(), path
