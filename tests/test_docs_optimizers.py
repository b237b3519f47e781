"""docs/optimizers.md is what docs/make_optimizers.py makes of the classes, and says of other libraries what is so."""

from __future__ import annotations

import re
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

import lrcore as lr
from lrcore import base

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def made() -> Any:
    """The script that makes the page."""
    spec = spec_from_file_location("make_optimizers", DOCS / "make_optimizers.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ours() -> list[str]:
    return [name for name, cls in base.registered().items() if cls.__module__.startswith("lrcore.")]


def rows(page: str) -> dict[str, list[str]]:
    """The cells of the table, by optimizer."""
    lines = [line[2:-2].split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells[1:] for cells in lines}


def test_the_page_is_up_to_date(made: Any) -> None:
    assert made.PAGE == DOCS / "optimizers.md"
    assert made.page() == made.PAGE.read_text(encoding="utf-8"), "run: python docs/make_optimizers.py"


def test_each_optimizer_has_a_row_of_its_conventions(made: Any) -> None:
    table = rows(made.page())
    assert sorted(table) == sorted(ours())
    for name, (what, arrays, *columns) in table.items():
        assert 10 < len(what) <= 120, (name, what)
        assert not re.search(r"``|:\w+:`|\.$", what), (name, what)
        assert 0 <= int(arrays) <= 9
        likes = re.findall(r'`"(\w+)"`', " ".join(columns[:-1]))
        assert sorted(likes) == sorted(getattr(lr, name).defaults)
        assert re.findall(r'\*\*`"(\w+)"`\*\*', " ".join(columns)) == [next(iter(getattr(lr, name).defaults))]


def test_each_optimizer_has_sources(made: Any) -> None:
    page = made.page()
    for name in ours():
        line = next((line for line in page.splitlines() if line.startswith(f"* `{name}`: ")), "")
        assert line, f"no 'Source: …' in the docstring of {name}"
        assert "``" not in line
        assert ">`_" not in line


def test_what_is_known_is_told(made: Any) -> None:
    table = rows(made.page())
    assert table["AdamW"][1:] == ["2", '**`"torch"`**', '`"keras"`', '`"optax"`', "", "", "torch, DeepSpeed"]
    assert table["LARS"][1:] == ["1", "", "", '**`"optax"`**', '`"timm"`', "", "IPEX"]
    assert table["Adamax"][-1] == ""


def test_docstrings_become_markdown(made: Any) -> None:
    for text, expected in {
        "see ``a/b.py`` and :class:`Adam`": "see `a/b.py` and `Adam`",
        "`arXiv 2302.06675 <https://arxiv.org/abs/2302.06675>`_, algorithm 2":
            "[arXiv 2302.06675](https://arxiv.org/abs/2302.06675), algorithm 2",
        "Chen et al. 2023, arXiv 2302.06675.": "Chen et al. 2023, [arXiv 2302.06675](https://arxiv.org/abs/2302.06675).",
        "Zeiler 2012, algorithm 1": "[Zeiler 2012](https://arxiv.org/abs/1212.5701), algorithm 1",
    }.items():  # fmt: skip
        assert made.markdown(text) == expected


def test_torch_fuses_these_on_a_cpu(made: Any) -> None:
    torch = pytest.importorskip("torch")
    found = set()
    for name in ours():
        optimizer = getattr(torch.optim, name, None)
        if optimizer is not None:
            theta = torch.zeros(3, requires_grad=True)
            theta.grad = torch.ones(3)
            try:
                optimizer([theta], fused=True).step()
            except (RuntimeError, TypeError, ValueError):
                continue
            found.add(name)
    assert found == {*made.FUSED["torch"]}


def test_deepspeed_fuses_these_on_a_cpu(made: Any) -> None:
    spec = find_spec("deepspeed")
    if spec is None or spec.origin is None:
        pytest.skip("deepspeed not installed")
    sources = {path.stem for path in Path(spec.origin).parent.glob("ops/csrc/*/cpu_*.cpp")}
    assert sources == {"cpu_adagrad", "cpu_adam", "cpu_adam_impl", "cpu_lion", "cpu_lion_impl"}
    named = {f"cpu_{name.removesuffix('W').lower()}" for name in made.FUSED["DeepSpeed"]}
    assert named == {name.removesuffix("_impl") for name in sources}
