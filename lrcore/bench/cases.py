"""What is measured: the case of each name, and the groups of cases."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from typing import Any, Literal

import numpy as np

from lrcore import base, kernels, reference
from lrcore.arrays import Array
from lrcore.directed import Directed
from lrcore.optimizers.conventions import REQUIRED
from lrcore.schedules import CosineDecay

Shape = tuple[int, ...]

OWN = ("lrcore buffer", "lrcore arrays")
MEASURES = ("floor", "NumPy reference")
TORCH = ("torch fused", "torch default", "torch foreach")
LIBRARIES = (*TORCH, "optax")
PEERS = ("torch fused", "torch default", "optax", "numba", "DeepSpeed", "thinc", "scikit-learn", "NumPy expression")
ALONE = ", 1 thread"  # ends the name of an implementation that steps with one thread whatever the others have


@dataclass(frozen=True)
class Case:
    """One measurement: an optimizer on tensors of these shapes, and who takes part.

    ``kind`` is "step"; "tail", for clipping by norm, moving average, zeroing the gradient and a cosine schedule
    around the step; or "turn", for a step in turn with the matrix products of ``work``. Every other implementation
    is compared with the first ones, ``anchors``; ``peers`` are other libraries.
    """

    name: str
    title: str
    shapes: tuple[Shape, ...]
    anchors: tuple[str, ...] = OWN
    measures: tuple[str, ...] = MEASURES
    peers: tuple[str, ...] = PEERS
    optimizer: str = "AdamW"
    hyper: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    kind: Literal["step", "tail", "turn"] = "step"
    work: str = ""
    batch: int = 0

    @property
    def elements(self) -> int:
        return sum(map(math.prod, self.shapes))

    @property
    def nbytes(self) -> int:
        """Of the parameters."""
        return self.elements * np.dtype(self.dtype).itemsize

    @property
    def n_states(self) -> int:
        """State arrays of the optimizer."""
        return len(reference.state_names(self.make([np.zeros(1, self.dtype)]).param_groups[0].rule))

    @property
    def n_reads(self) -> int:
        """Arrays that must be read before the rule, for sums over them or over what another rule makes of them."""
        return reads(base.registered()[self.optimizer])

    @property
    def traffic(self) -> int:
        """Bytes that a step must move; the tail moves its average too, g once more for the norm, and zeros."""
        tail = self.kind == "tail"
        return kernels.traffic(self.nbytes, self.n_states + tail) + (self.n_reads + 2 * tail) * self.nbytes

    @property
    def contenders(self) -> tuple[str, ...]:
        """All who take part, peers last."""
        return (*self.anchors, *self.measures, *self.peers)

    def make(self, params: Any, **hyper: Any) -> base.Optimizer:
        """lrcore's optimizer of this case."""
        if self.kind == "tail":
            hyper = {"lr": CosineDecay(1e-3, TAIL_STEPS), "ema": TAIL_EMA, "clip_norm": 1.0, **hyper}
        cls = base.registered()[self.optimizer]
        convention = next(iter(cls.defaults.values()))
        needed = {"lr": 1e-3} if convention["lr"] is REQUIRED else {}
        return cls(params, **{**needed, **self.hyper, **hyper})

    def parameters(self) -> list[Array]:
        """New arrays, allocated one by one as a user's would be."""
        return self._arrays(seed=0)

    def gradients(self) -> list[Array]:
        """As the parameters, with other values; none is so small that its square is not a normal number."""
        return self._arrays(seed=1)

    def _arrays(self, seed: int) -> list[Array]:
        few = np.random.default_rng(seed).standard_normal(1 << 20, dtype=np.float64).astype(self.dtype)
        few[np.abs(few) < 1e-3] = 1e-3
        return [np.resize(few[: math.prod(shape)], shape) for shape in self.shapes]

    def tiny(self) -> Case:
        """The same with tensors of a few elements: whether it works, not how fast."""
        return replace(self, shapes=tuple(tuple(min(n, 4) for n in shape) for shape in self.shapes), batch=3)


TAIL_STEPS = 100_000
TAIL_EMA = 0.999

_SIZES = {f"{size} {unit}": size << shift for unit, shift in (("Ki", 10), ("Mi", 20)) for size in (1, 4, 16, 64, 256)}
del _SIZES["256 Mi"]


def _sizes() -> Iterator[Case]:
    for label, size in _SIZES.items():
        yield Case(_name(label), f"{label} elements, one array", ((size,),))


def _lists() -> Iterator[Case]:
    for label, size in _SIZES.items():
        yield Case(f"{_name(label)}-list", f"{label} elements in 16 separate arrays", ((size // 16,),) * 16)


def _small() -> Iterator[Case]:
    yield Case("1000", "1,000 elements", ((1000,),))
    yield Case("200x64", "200 tensors of 64 elements", ((64,),) * 200)


def _tensors() -> Iterator[Case]:
    for count in (1, 3, 10, 30, 100, 300, 1000):
        shapes = tuple((part.size,) for part in np.array_split(np.empty(1 << 20, np.int8), count))
        yield Case(f"tensors-{count}", f"1 Mi elements in {count:,} tensor{'s' if count > 1 else ''}", shapes)


def _models() -> Iterator[Case]:
    for name, title, shapes in (
        ("mlp", "784-512-512-10 perceptron", mlp((784, 512, 512, 10))),
        ("resnet50", "ResNet-50", resnet50()),
        ("gpt2", "GPT-2 small", gpt2()),
    ):
        count = sum(map(math.prod, shapes))
        yield Case(name, f"{title}: {len(shapes)} tensors, {count / 1e6:.3g} M elements", shapes)


def mlp(sizes: Sequence[int]) -> tuple[Shape, ...]:
    """Weights and biases of a perceptron."""
    return tuple(chain.from_iterable(((i, o), (o,)) for i, o in pairwise(sizes)))


def gpt2(width: int = 768, layers: int = 12, vocabulary: int = 50257, context: int = 1024) -> tuple[Shape, ...]:
    """The parameters of GPT-2: by default the small one, 148 tensors; input and output embedding are one."""
    norm: tuple[Shape, ...] = ((width,), (width,))

    def dense(i: int, o: int) -> tuple[Shape, ...]:
        return (i, o), (o,)

    block = (
        *norm, *dense(width, 3 * width), *dense(width, width),
        *norm, *dense(width, 4 * width), *dense(4 * width, width),
    )  # fmt: skip
    return ((vocabulary, width), (context, width), *block * layers, *norm)


def resnet50(classes: int = 1000) -> tuple[Shape, ...]:
    """The 161 parameters of ResNet-50: convolutions without bias, each with a batch normalization."""

    def convolution(i: int, o: int, kernel: int) -> tuple[Shape, ...]:
        return (o, i, kernel, kernel), (o,), (o,)

    shapes = list(convolution(3, 64, 7))
    channels = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            shapes += convolution(channels, width, 1) + convolution(width, width, 3) + convolution(width, 4 * width, 1)
            if block == 0:
                shapes += convolution(channels, 4 * width, 1)
            channels = 4 * width
    return (*shapes, (classes, channels), (classes,))


def _tails() -> Iterator[Case]:
    for label in ("1 Mi", "16 Mi"):
        title = f"{label} elements: clip by norm, AdamW, moving average, zero gradient, cosine schedule"
        yield Case(
            f"tail-{_name(label)}", title, ((_SIZES[label],),), measures=("NumPy reference",), peers=("torch fused",),
            kind="tail",
        )  # fmt: skip


def _threads() -> Iterator[Case]:
    for label in ("1 Mi", "4 Mi", "16 Mi", "64 Mi"):
        yield Case(
            f"threads-{_name(label)}", f"{label} elements, all threads against one", ((_SIZES[label],),),
            anchors=("lrcore buffer", "floor"), measures=("lrcore buffer" + ALONE, "floor" + ALONE),
            peers=("torch fused", "torch fused" + ALONE),
        )  # fmt: skip


def _in_turn() -> Iterator[Case]:
    for work, library in (("numpy", "NumPy"), ("torch", "torch")):
        for hidden in (512, 1024):
            for batch in (128, 256):
                yield Case(
                    f"{work}-{hidden}-{batch}",
                    f"{library} forward and backward in turn with a step: hidden {hidden}, batch {batch}",
                    ((hidden, hidden),) * 2, anchors=("lrcore buffer", "lrcore buffer" + ALONE), measures=(),
                    peers=("torch fused", "numba", "DeepSpeed"), kind="turn", work=work, batch=batch,
                )  # fmt: skip


def looks(cls: type[base.Optimizer]) -> tuple[str, ...]:
    """The rules of which a step forms sums before it takes one."""
    return tuple(getattr(cls, "looks", ()))


def reads(cls: type[base.Optimizer]) -> int:
    """Arrays that a step must read before its rule, see :attr:`Case.n_reads`."""
    if issubclass(cls, Directed):
        return cls.reads
    seen = {"g", "t"} if looks(cls) else set("".join(cls.sums))
    return len(seen.union(*map(reference.state_names, looks(cls))))


def users() -> dict[str, tuple[str, Mapping[str, Any]]]:
    """What is measured, by name: the optimizer, and hyperparameters of it.

    Each rule has a case, of its name, with hyperparameters that lead to it: of several optimizers it is the last that
    torch has too, else the first. So has, by its own name, each optimizer that reads more than that one before the
    rule that it has by default, unless another does the same.
    """
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for name, cls in base.registered().items():
        if issubclass(cls, Directed):  # measured by itself
            found[name.lower()] = name, {}
            continue
        of_default = next(iter(cls.defaults.values()))
        for rule, hyper in cls.rules.items():
            if hyper.keys() <= of_default.keys() and (rule not in found or "torch" in cls.defaults):
                found[rule] = name, hyper
    costs = {(rule, reads(base.registered()[name])) for rule, (name, _) in found.items()}
    for name, cls in base.registered().items():
        rule = cls._rule(next(iter(cls.defaults.values())))
        if reads(cls) and (rule, reads(cls)) not in costs:
            costs.add((rule, reads(cls)))
            found[name.lower()] = name, {}
    return found


def _optimizers() -> Iterator[Case]:
    for key, (optimizer, hyper) in users().items():
        for dtype in ("float32", "float64"):
            options = "".join(f", {key}={value}" for key, value in hyper.items())
            directed = issubclass(base.registered()[optimizer], Directed)
            shapes = ((1024, 1024),) * 16 if directed else ((_SIZES["16 Mi"],),)
            what = "16 matrices of 1 Mi elements" if directed else "16 Mi elements"
            yield Case(
                f"{key}-{dtype}", f"{optimizer}{options}: {what}, {dtype}", shapes,
                peers=() if directed else LIBRARIES, optimizer=optimizer, hyper=hyper, dtype=dtype,
            )  # fmt: skip


def _name(label: str) -> str:
    return label.replace(" ", "")


GROUPS: dict[str, tuple[Case, ...]] = {
    "sizes": tuple(_sizes()),
    "lists": tuple(_lists()),
    "small": tuple(_small()),
    "tensors": tuple(_tensors()),
    "models": tuple(_models()),
    "tail": tuple(_tails()),
    "threads": tuple(_threads()),
    "in-turn": tuple(_in_turn()),
    "optimizers": tuple(_optimizers()),
}
CASES: dict[str, Case] = {case.name: case for group in GROUPS.values() for case in group}
QUICK = ("1Ki", "64Ki", "1Mi", "16Mi", "200x64", "mlp", "tail-1Mi")


def chosen(names: Sequence[str]) -> list[Case]:
    """The cases of these names or groups, in the order given, each once.

    Raises
    ------
    ValueError
        A name is neither a case nor a group.
    """
    found: dict[str, Case] = {}
    for name in names:
        if name in GROUPS:
            found |= {case.name: case for case in GROUPS[name]}
        elif name in CASES:
            found[name] = CASES[name]
        else:
            raise ValueError(
                f"case must be one of {', '.join(GROUPS)}, or a case of theirs (lrcore bench --list), got {name!r}"
            )
    return list(found.values())
