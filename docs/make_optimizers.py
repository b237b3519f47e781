"""Writes docs/optimizers.md from the classes of the optimizers: what each is, who else has it, its sources.

    python docs/make_optimizers.py

A test compares the page with what this makes, so that it is to be run when an optimizer has come, or changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from inspect import getdoc
from pathlib import Path

from lrcore import base, reference

PAGE = Path(__file__).parent / "optimizers.md"

LIBRARIES = {"torch": ("torch",), "Keras": ("keras", "keras2"), "optax": ("optax",), "timm": ("timm",)}
"""The columns of the table, and their conventions. All other conventions stand in a column of their own."""

FUSED = {
    "torch": ("Adagrad", "Adam", "AdamW", "SGD"),
    "DeepSpeed": ("Adagrad", "Adam", "AdamW", "Lion"),
    "IPEX": ("Adagrad", "Adam", "LAMB", "LARS", "SGD"),
    "thinc": ("Adam",),
}
"""Of other libraries, what takes a step in compiled loops of its own on a CPU. The text of the page has the sources."""

PAPERS = {
    "Kingma & Ba 2015": "https://arxiv.org/abs/1412.6980",
    "Reddi, Kale & Kumar 2018": "https://arxiv.org/abs/1904.09237",
    "Loshchilov & Hutter 2019": "https://arxiv.org/abs/1711.05101",
    "Dozat 2016": "https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ",
    "Duchi, Hazan & Singer 2011": "https://jmlr.org/papers/v12/duchi11a.html",
    "Zeiler 2012": "https://arxiv.org/abs/1212.5701",
    "Tieleman & Hinton 2012": "https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf",
    "Graves 2013": "https://arxiv.org/abs/1308.0850",
    "Polyak 1964": "https://doi.org/10.1016/0041-5553%2864%2990137-5",
    "Sutskever et al. 2013": "https://proceedings.mlr.press/v28/sutskever13.html",
}
"""Where papers are that docstrings name without a number of arXiv."""

OPENING = """\
# Optimizers

Every optimizer of lrcore, and who else has it. `python docs/make_optimizers.py` writes this page from the classes;
`help(lrcore.Adam)` has the equation, the conventions and their defaults, the ranges and the sources in full.
A quoted word is what `like=` takes: the formula and the defaults of that library. The one in **bold** is the default;
`"paper"` is the paper, or its own package. *Arrays* are those that are kept for each parameter, by default, of its size
if not said otherwise.

lrcore takes the step of each in one sweep of compiled code, save where its documentation says otherwise. *Fused on a
CPU* are those of other libraries that have a compiled loop for the whole step too: torch with `fused=True`
(`torch/optim`; on a CPU it works for these alone), DeepSpeed (`csrc/adagrad/cpu_adagrad.cpp`, `csrc/adam/cpu_adam.cpp`,
`csrc/lion/cpu_lion.cpp`), Intel's extension for PyTorch (IPEX, `csrc/cpu/aten/optimizer`), thinc (`numpy_ops.pyx`, in
blocks). What JAX compiles of optax is fused as XLA sees fit; Keras, timm and the rest take the step operation by
operation.
"""


def page() -> str:
    """The whole page."""
    classes = [cls for cls in base.registered().values() if cls.__module__.startswith("lrcore.")]
    classes.sort(key=lambda cls: cls.__name__.lower())
    head = ["optimizer", "what it is", "arrays", *LIBRARIES, "others", "fused on a CPU by"]
    return "\n".join((OPENING, *table(head, map(row, classes)), "", "## Sources", "", *sources(classes), ""))


def row(cls: type[base.Optimizer]) -> list[str]:
    """What the table says of an optimizer."""
    default = next(iter(cls.defaults))
    quoted = {like: f'`"{like}"`' for like in cls.defaults}
    quoted[default] = f"**{quoted[default]}**"
    listed = {like for conventions in LIBRARIES.values() for like in conventions}
    columns = [[quoted[like] for like in conventions if like in quoted] for conventions in LIBRARIES.values()]
    columns.append([text for like, text in quoted.items() if like not in listed])
    fused = [library for library, names in FUSED.items() if cls.__name__ in names]
    return [f"`{cls.__name__}`", first_line(cls), str(arrays(cls)), *map(", ".join, [*columns, fused])]


def first_line(cls: type[base.Optimizer]) -> str:
    """What an optimizer is, as its docstring begins."""
    line = (getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
    line = markdown(line.removeprefix(f"{cls.__name__}: ").removesuffix("."))
    return line[:1].upper() + line[1:]


def arrays(cls: type[base.Optimizer]) -> int:
    """How many are kept for each parameter, with the hyperparameters that it has by default."""
    defaults = {**next(iter(cls.defaults.values())), "maximize": False}
    return len(reference.state_names(cls._rule(defaults))) + len(cls.shapes)


def sources(classes: Iterable[type[base.Optimizer]]) -> Iterator[str]:
    """A line for each optimizer whose docstring names sources."""
    for cls in classes:
        found = re.search(r"^Sources?: (.*?)(?:\n\n|\Z)", getdoc(cls) or "", re.S | re.M)
        if found:
            yield f"* `{cls.__name__}`: {markdown(' '.join(found[1].split()))}"


def markdown(text: str) -> str:
    """reStructuredText, as docstrings have it, in Markdown; papers become links."""
    text = re.sub(r"`([^`<]+?) <([^>`]+)>`_+", r"[\1](\2)", text)
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")
    text = re.sub(r"(?<![\[/])\barXiv[ :]?(\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)
    for name, url in PAPERS.items():
        text = text.replace(name, f"[{name}]({url})")
    return text


def table(head: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    """A table in Markdown."""
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {len(base.registered())} optimizers")
