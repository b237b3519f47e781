"""What the README shows, runs, and gives what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np


def test_readme():
    text = (Path(__file__).parent.parent / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
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
    assert repr(names["history"].message) in text
    assert abs(names["w"][0] + 1) < 1e-6
    assert names["early"].best < 1e-12
    found = names["found"]
    assert 0 < found.valley <= found.steepest < found.minimum
