"""What a type checker says of calls: it takes the good ones and refuses the wrong ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="needs mypy")

HEAD = """
import numpy as np
import lrcore as lr
from numpy.typing import NDArray
single = np.zeros(3, dtype=np.float32)
double = np.zeros((2, 3))
"""
GOOD = """
lr.SGD(single, lr=0.1).step(single)
lr.SGD([single, double]).step([single, double])
lr.SGD((single, double)).step((single, double))
lr.SGD({"w": single, "b": double}).step({"w": single, "b": double})
params = lr.ParameterBuffer({"w": double})
lr.SGD(params).step()
lr.SGD(params).step(params.grads)
lr.SGD(params).step(params.grads.flat)
lr.SGD([{"params": [single], "lr": 0.1}, {"params": double, "weight_decay": 0.0}]).step([[single], double])
lr.SGD([{"params": params}, {"params": {"b": single}}], lr=0.1, momentum=lambda step: 0.9)
several: list[NDArray[np.float32]] = [single]
named: dict[str, NDArray[np.float64]] = {"w": double}
lr.SGD(several).step(several)
lr.SGD(named).step(named)
lr.SGD(double).step(2 * (double + 1), grad_scale=8.0, zero_grad=True)
lr.AdamW(single, betas=(0.9, 0.99), ema=0.9, like="keras")
lr.Adam(single, lr=lr.schedules.CosineDecay(0.1, 100))
"""
BAD = [
    'lr.SGD("nonsense")',
    "lr.SGD(3.0)",
    "lr.SGD(None)",
    'lr.SGD(["a", "b"])',
    "lr.SGD({1: single})",
    'lr.SGD(single, lr="0.1")',
    "lr.SGD(single, nonsense=1)",
    'lr.SGD(single, on_nonfinite="ignore")',
    "lr.AdamW(single, betas=0.9)",
    'lr.SGD(single).step("nonsense")',
    "lr.SGD(single).step(single, grad_scale=None)",
]


def errors(tmp_path: Path, code: str) -> list[int]:
    """Lines of ``code`` that mypy --strict refuses."""
    (tmp_path / "snippet.py").write_text(HEAD + code)
    root = Path(__file__).parent.parent
    argv = [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.11", "--config-file", "",
            "--cache-dir", str(tmp_path / "cache"), "--no-error-summary", "snippet.py"]  # fmt: skip
    env = {"MYPYPATH": str(root), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    found = re.findall(r"^snippet\.py:(\d+): error: (.*)", done.stdout, re.M)
    return sorted({int(line) - HEAD.count("\n") for line, _ in found})


def test_good_calls_pass_and_each_wrong_one_is_refused(tmp_path: Path) -> None:
    code = GOOD.lstrip() + "\n".join(BAD) + "\n"
    first = GOOD.strip().count("\n") + 2
    assert errors(tmp_path, code) == list(range(first, first + len(BAD)))
