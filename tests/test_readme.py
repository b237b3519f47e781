"""What the README shows, runs, and gives what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lrcore as lr

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert len(blocks) >= 4
    names: dict[str, Any] = {}
    seen = []
    for block in blocks:
        exec(block, names)
        seen.append({key: np.copy(value) if isinstance(value, np.ndarray) else value for key, value in names.items()})
    assert seen[0]["w"] == np.float32(2.6)
    np.testing.assert_allclose(names["params"]["w"], np.arange(8), atol=0.01)
    report = names["report"]
    assert (report.step, float(f"{report.lr:.2g}"), report.applied) == (520, 9.9e-7, True)
    assert names["history"].ended == "diverged"
    assert repr(names["history"].message) in TEXT
    assert abs(names["w"][0] + 1) < 1e-6
    assert names["early"].best < 1e-12
    found = names["found"]
    assert 0 < found.valley <= found.steepest < found.minimum
    for code, value in {
        "s(0), s(5_000), s(20_000)": (0.0003, 0.00015, 0.0),
        "lr.coarse_lr(fun, np.array([5.0]), lr.SGD).lr": 0.1,
        "lr.ewma([1.0, 2.0, 3.0], beta=0.5, bias_correction=False)": [0.5, 1.25, 2.125],
    }.items():
        assert f"{code}  #" in TEXT
        np.testing.assert_allclose(eval(code, names), value, rtol=1e-12)


def test_every_file_that_it_names_exists():
    """Of a row of the layout, later names are in the folder of the first unless they have one."""
    for row in re.findall(r"^\| (`(?:lrcore|src|bench)/.*?) \|", TEXT, re.M):
        first, *others = re.findall(r"`([\w./]+)`", row)
        folder = first.rstrip("/").rpartition("/")[0]
        for name in (first, *others):
            assert (ROOT / name).exists() or (ROOT / folder / name).exists(), name
    for name in re.findall(r"\]\(([\w./-]+)\)", TEXT):
        assert (ROOT / name).exists(), name


def test_every_command_that_it_names_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([\w-]+)", TEXT)) | set(re.findall(r"^make ([\w-]+)", TEXT, re.M)):
        assert re.search(rf"^{target}:", makefile, re.M), target


ARGUMENTS = dict(re.findall(r"^\| (`\w+=.*?) \| (.*?) \|$", TEXT, re.M))


@pytest.mark.parametrize("row", ARGUMENTS)
def test_every_argument_of_the_table_is_taken(row):
    """Each alone, as the table writes it; what has no value there is given None."""
    for code in re.findall(r"`(\w+=[^`]*)`", row):
        given = eval(f"dict({code if not code.endswith('=') else code + 'None'})")
        lr.SGD(np.zeros(3), lr=0.1, **({"ema": 0.9} if "ema_warmup" in given else {}), **given)


def test_groups_come_and_go_and_a_gradient_of_none_rests():
    opt = lr.SGD([{"params": np.ones(1)}, {"params": np.ones(1), "lr": 0.5}], lr=0.1)
    opt.add_param_group({"params": (w := np.ones(2))})
    opt.step([np.ones(1), np.ones(1), None])
    assert w.tolist() == [1.0, 1.0]
    opt.param_groups.pop()
    opt.step([np.ones(1), np.ones(1)])
    assert len(opt.param_groups) == 2
    assert opt.step_count == 2
