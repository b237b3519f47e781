"""The picture: time of a step against elements, and against the number of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lrcore.bench.cases import GROUPS, Case

# lrcore and its measures in black and blue, others by fixed colours, so that pictures can be compared.
_STYLES: dict[str, dict[str, Any]] = {
    "lrcore buffer": {"label": "lrcore, ParameterBuffer", "color": "#0b3d91", "linewidth": 2.6, "marker": "o"},
    "lrcore arrays": {"label": "lrcore, own arrays", "color": "#4a90e2", "linewidth": 2.6, "marker": "o"},
    "floor": {"label": "memory alone (floor)", "color": "#555555", "linestyle": ":"},
    "torch fused": {"label": "torch, fused", "color": "#d1495b", "marker": "s"},
    "torch default": {"label": "torch, default", "color": "#edae49", "marker": "s"},
    "DeepSpeed": {"label": "DeepSpeed CPUAdam", "color": "#7b2d8b", "marker": "D"},
    "optax": {"label": "optax, jitted", "color": "#00798c", "marker": "^"},
    "numba": {"label": "numba prange loop", "color": "#66a182", "marker": "v"},
    "thinc": {"label": "thinc", "color": "#b08968", "marker": "P"},
    "scikit-learn": {"label": "scikit-learn", "color": "#f08a24", "marker": "X"},
    "NumPy expression": {"label": "NumPy expression", "color": "#9a9a9a", "marker": "*"},
    "NumPy reference": {"label": "NumPy reference", "color": "#c4c4c4", "marker": "h"},
}
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))

_SUFFIXES = (".png", ".svg", ".pdf")

Curves = dict[str, list[tuple[int, float]]]


def check(path: Path, chosen: Sequence[Case]) -> None:
    """Raise ValueError if these cases cannot be drawn into this file."""
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"plot must end in {', '.join(_SUFFIXES)}, got '{path}'")
    drawn = {case.name for group in ("sizes", "tensors") for case in GROUPS[group]}
    if not drawn & {case.name for case in chosen}:
        raise ValueError("plot must go with cases of the groups sizes or tensors")
    if find_spec("matplotlib") is None:
        raise ValueError("plot needs matplotlib: pip install 'lrcore[plot]'")


def curves(results: Mapping[str, Any], group: str, axis: str) -> Curves:
    """By implementation, the points (x, seconds) of the cases whose group is ``group``."""
    found: Curves = {}
    for case in results["cases"]:
        if case["group"] != group:
            continue
        for row in case["rows"]:
            if "step" in row and row["name"] in _STYLES:
                found.setdefault(row["name"], []).append((case[axis], row["step"]["median"]))
    return {name: sorted(found[name]) for name in _STYLES if name in found}


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Draw the results of a run into a file that :func:`check` accepts."""
    figure_of: Any = import_module("matplotlib.figure").Figure
    panels = [
        (found, title, label, scale)
        for found, title, label, scale in (
            (curves(results, "sizes", "elements"), "One array", "elements", 2),
            (curves(results, "tensors", "tensors"), "1 Mi elements in more and more tensors", "tensors", 10),
        )
        if found
    ]
    figure = figure_of(figsize=(6.2 * len(panels), 5.6), layout="constrained", dpi=150)
    figure.get_layout_engine().set(wspace=0.06)
    for k, (found, title, label, scale) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), k + 1)
        _panel(axes, found, title, label, scale)
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    order = [style["label"] for style in _STYLES.values() if style["label"] in handles]
    figure.legend([handles[name] for name in order], order, loc="outside lower center", ncols=4, frameon=False)
    machine = results["machine"]
    figure.suptitle(
        f"One AdamW step, float32, {machine['threads']} threads\n{machine['processor']}, lrcore "
        f"{machine['versions']['lrcore']}",
        fontsize=11,
    )
    figure.savefig(path, bbox_inches="tight")


def _panel(axes: Any, found: Curves, title: str, label: str, scale: int) -> None:
    for name, points in found.items():
        style = {"linewidth": 1.4, "markersize": 5, "zorder": 3 if name.startswith("lrcore") else 2} | _STYLES[name]
        axes.plot(*zip(*points, strict=True), **style)
    axes.set_xscale("log", base=scale)
    axes.set_yscale("log")
    ticks = sorted({x for points in found.values() for x, _ in points})
    axes.set_xticks(ticks, [_count(x) for x in ticks])
    axes.minorticks_off()
    seconds = [y for points in found.values() for _, y in points]
    if max(seconds) < 1000 * min(seconds):
        axes.yaxis.set_major_locator(import_module("matplotlib.ticker").LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: _seconds(value))
    axes.grid(True, which="major", color="#e4e4e4", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(label)
    axes.set_ylabel("time of a step")


def _count(x: int) -> str:
    for size, unit in ((1 << 20, " Mi"), (1 << 10, " Ki")):
        if x % size == 0:
            return f"{x // size}{unit}"
    return f"{x:,}"


def _seconds(value: float) -> str:
    for size, unit in _UNITS:
        if value >= size * 0.999:
            return f"{value / size:g} {unit}"
    return ""
