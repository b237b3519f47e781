"""What docs/adding-an-optimizer.md says, done: its three blocks make an optimizer that all else finds by itself."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from lrcore import kernels

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "adding-an-optimizer.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^At the end of `([\w/.]+)`:\n\n```(?:python|cython)\n(.*?)^```", PAGE, re.S | re.M))
FILES = {"lrcore/reference/sgd.py", "src/rules/sgd.pxi", "lrcore/optimizers/sgd.py"}
MOST_LINES = 45

BY_HAND = """
import numpy as np
import lrcore as lr

theta, rate, beta, decay = 0.7, 0.125, 0.5, 0.25
w = np.array([theta])
opt = lr.Optimistic(w, lr=rate, beta=beta, weight_decay=decay)
before = 1.0
for g in (1.0, -8.0, 0.5, 0.0, -0.25, 3.0, -2.0):
    theta -= rate * (g + beta * (g - before) + decay * theta)
    before = g
    opt.step(np.array([g]))
    np.testing.assert_allclose(w, theta, rtol=1e-15)
print(lr.show_config())
"""


def without_docstrings(text: str) -> str:
    """The source of a Python module, each docstring in it cut out."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            first = node.body[0]
            assert first.end_lineno is not None
            lines[first.lineno - 1 : first.end_lineno] = [""] * (first.end_lineno - first.lineno + 1)
    return "\n".join(lines)


def files_of(root: Path) -> dict[str, bytes]:
    """What belongs to the source tree: hidden folders and what is built do not."""

    def belongs(folder: str) -> bool:
        return folder == ".ci" or not (folder.startswith(".") or folder in ("__pycache__", "build", "dist"))

    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = filter(belongs, folders)
        for path in (Path(folder, name) for name in names if name != ".git"):
            found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


def test_three_blocks_of_few_lines() -> None:
    assert BLOCKS.keys() == FILES
    codes = [without_docstrings(text) if path.endswith(".py") else text for path, text in BLOCKS.items()]
    assert sum(1 for code in codes for line in code.splitlines() if line.strip()) <= MOST_LINES


def test_the_example_is_not_part_of_the_library() -> None:
    for path, text in BLOCKS.items():
        assert text not in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(not kernels.compiled(), reason="nothing can be compiled here")
def test_an_optimizer_is_added_as_the_page_says(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    before = files_of(ROOT)
    for name, content in before.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    for path, block in BLOCKS.items():
        with (copy / path).open("a", encoding="utf-8") as file:
            file.write(f"\n\n{block}")

    run = installed(copy, tmp_path / "venv")
    run("-c", BY_HAND)
    run("tests/test_bits.py")
    after = files_of(copy)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == FILES | {"tests/bits.json"}

    wanted = "Optimistic or optimistic or each_rule or every_rule_has_a_case or every_class_has_cases or public_names"
    found = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", wanted, "tests")
    assert "failed" not in found
    assert "test_bits" in run(
        "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", "-k", "Optimistic", "tests"
    )
    run("-m", "lrcore", "train", "--optimizer", "optimistic", "--epochs", "1")
    assert "optimistic-float32" in run("-m", "lrcore", "bench", "--list")


def installed(source: Path, venv: Path) -> Callable[..., str]:
    """Installs a source tree into an environment of its own, and gives what runs Python there.

    That environment sees the packages of this one, but not an lrcore that is installed here to be edited: its hook
    is in a ``.pth`` file, which only counts in a site's own folder.
    """
    level = kernels.compiled()[-1]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, source, "-C", f"cmake.define.LRCORE_LEVELS={level}"], check=True, cwd=venv)
    site = next(venv.glob("lib/python*/site-packages"), venv / "Lib" / "site-packages")
    packages = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (site / "outer.pth").write_text("\n".join(packages) + "\n", encoding="utf-8")
    # The Python files come from the installed package, the one with the compiled modules beside it.
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": str(source / "tests")}
    environment.pop("LRCORE_ISA", None)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [python, *arguments], cwd=source, env=environment, capture_output=True, text=True, encoding="utf-8"
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    assert f"'{level}'" in run("-c", "from lrcore import kernels; print(kernels.compiled())")
    return run
