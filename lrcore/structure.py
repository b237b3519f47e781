"""The shapes in which parameters and gradients come: array, sequence, mapping, ParameterBuffer, groups.

Everything is checked here, before anything is written.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.array_utils import byte_bounds
from numpy.typing import NDArray

from lrcore import checks
from lrcore.arrays import Array
from lrcore.buffer import ParameterBuffer, Views
from lrcore.kernels import same_objects

Structure = Any  # of parameters or of gradients, once it is checked: what the next two name, for callers

Floats = NDArray[np.floating[Any]]
# One Sequence each and not several: within a union of sequences mypy does not infer what a list holds.
Params: TypeAlias = Floats | Sequence[Floats | Mapping[str, Any]] | Mapping[str, Floats]
"""What an optimizer is made for: an array, arrays, arrays by name (a ParameterBuffer among these), or groups."""
Gradients: TypeAlias = (
    Floats
    | np.floating[Any]
    | float
    | Sequence[Floats | Sequence[Floats | None] | Mapping[str, Any] | None]
    | Mapping[str, Floats | None]
    | None
)
"""What a step takes: the structure of the parameters; with groups, a sequence of one entry per group."""


@dataclass(frozen=True)
class Leaf:
    """One parameter array. ``path`` is how to reach it within its group."""

    name: str
    path: str
    array: Array
    extent: tuple[int, int]

    def check_parameter(self, label: str) -> None:
        """Raise if the array cannot be changed in place by a step."""
        array = self.array
        check_array(label, array)
        if not array.flags.writeable:
            raise ValueError(f"{label} must be writable, but is read-only")
        if byte_bounds(array) != self.extent:
            raise ValueError(f"{label} must stay as it was when the optimizer was made, but was resized")

    def check_gradient(self, label: str, g: Any, writable: bool) -> None:
        """Raise if ``g`` cannot be this parameter's gradient."""
        check_array(label, g)
        if writable and not g.flags.writeable:
            raise ValueError(f"{label} must be writable to be zeroed, but is read-only")
        if g.dtype != self.array.dtype:
            raise TypeError(f"{label} has dtype {g.dtype}, its parameter {self.array.dtype}")
        if g.shape != self.array.shape:
            raise ValueError(f"{label} has shape {g.shape}, its parameter {self.array.shape}")

    def as_array(self, label: str, g: Any) -> Any:
        """The gradient of a parameter without axes as an array: NumPy's arithmetic on such arrays gives numbers."""
        if self.array.ndim or g is None or isinstance(g, np.ndarray):
            return g
        with np.errstate(over="ignore"):
            array = np.asarray(g) if isinstance(g, np.generic) else np.array(checks.number(label, g), self.array.dtype)
        array.flags.writeable = False  # a number cannot be zeroed
        return array


def check_array(label: str, array: Any) -> None:
    """Raise unless ``array`` is a C-contiguous, aligned float32 or float64 array of native byte order."""
    if not isinstance(array, np.ndarray) or isinstance(array, (np.ma.MaskedArray, np.matrix)):
        raise TypeError(f"{label} must be a NumPy array, got {type(array).__name__}")
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{label} must be float32 or float64, got {array.dtype}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{label} must be C-contiguous, got strides {array.strides} for shape {array.shape}")
    if not array.flags.aligned:
        raise ValueError(f"{label} must be aligned to {array.itemsize} bytes, got {array.ctypes.data:#x}")


class Parameters:
    """Parameters of one group, as the caller structured them, and the gradients that go with them.

    ``prefix`` is the place of the group in brackets, or empty where there are no groups. ``names`` are unique in the
    optimizer, and so not always those of the leaves.
    """

    def __init__(self, structure: Structure, prefix: str = "") -> None:
        self.structure = structure
        self.prefix = prefix
        self.is_buffer = isinstance(structure, ParameterBuffer)
        self._is_array = isinstance(structure, np.ndarray)
        self._is_mapping = isinstance(structure, Mapping)
        self.leaves = list(_leaves(structure, self.where))
        self._arrays = [leaf.array for leaf in self.leaves]
        self.names = [leaf.name for leaf in self.leaves]
        for leaf in self.leaves:
            leaf.check_parameter(self.label(leaf))
        self._has_numbers = any(array.ndim == 0 for array in self._arrays)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy's leaves must be those of the copied structure: views of a buffer, above all.
        self.check_same()
        return _restore, (self.structure, self.prefix, self.names)

    @property
    def where(self) -> str:
        """What errors call the parameters of this group."""
        return f'params{self.prefix}["params"]' if self.prefix else "params"

    def label(self, leaf: Leaf) -> str:
        """What errors call a parameter."""
        return self.where + leaf.path

    def tensors(self, by_name: bool) -> list[Array]:
        """The arrays that a step sweeps: a buffer is one, unless it is swept by name."""
        return [self.structure.flat] if self.is_buffer and not by_name else list(self._arrays)

    def split(self, arrays: Sequence[Array]) -> Mapping[str, Array]:
        """Each parameter's name with its part of ``arrays``, which are shaped as ``tensors(False)``."""
        if self.is_buffer:
            return Views(arrays[0], {leaf.name: leaf.array.shape for leaf in self.leaves}, "state")
        return dict(zip(self.names, arrays, strict=True))

    def like_structure(self, named: Mapping[str, Array]) -> Structure:
        """Arrays by name in the structure of the parameters; a mapping for a buffer."""
        arrays = list(named.values())
        if isinstance(self.structure, np.ndarray):
            return arrays[0]
        if isinstance(self.structure, Mapping):
            return {leaf.name: named[name] for leaf, name in zip(self.leaves, self.names, strict=True)}
        return tuple(arrays) if isinstance(self.structure, tuple) else arrays

    def come_by_name(self, grads: Structure) -> bool:
        """Whether these are gradients of a buffer, and neither those beside it nor one flat array."""
        return self.is_buffer and grads is not None and isinstance(grads, Mapping) and grads is not self.structure.grads

    def check_same(self) -> None:
        """Raise if the caller's list or mapping no longer holds the arrays that the optimizer was made for."""
        structure = self.structure
        if self.is_buffer or self._is_array:
            return
        now = list(structure.values()) if self._is_mapping else structure
        if same_objects(now, self._arrays):
            return
        for leaf in self.leaves:
            try:
                same = structure[leaf.name if self._is_mapping else int(leaf.name)] is leaf.array
            except (KeyError, IndexError):
                same = False
            if not same:
                raise ValueError(
                    f"{self.label(leaf)} must stay the array that the optimizer was made for, but was replaced; "
                    "change it in place"
                )
        if len(now) != len(self._arrays):
            raise ValueError(f"params{self.prefix} must keep its {len(self._arrays)} arrays, got {len(now)}")

    def gather(self, grads: Structure, by_name: bool, one_of_groups: bool = False) -> Sequence[Any]:
        """The gradients in the order of ``tensors(by_name)``, not yet checked one by one; None where one rests."""
        if self._is_array and grads is not None:
            gathered: Sequence[Any] = (grads,)
        else:
            gathered = self._gather(grads, by_name, one_of_groups)
        if self._has_numbers and (by_name or not self.is_buffer):
            return [leaf.as_array(self._gradient(leaf), g) for leaf, g in zip(self.leaves, gathered, strict=True)]
        return gathered

    def _gradient(self, leaf: Leaf) -> str:
        return f"grads{self.prefix}{leaf.path}"

    def _gather(self, grads: Structure, by_name: bool, one_of_groups: bool) -> Sequence[Any]:
        structure = self.structure
        if self.is_buffer:
            beside = structure._grads
            if grads is None or grads is beside:
                return list(beside.values()) if by_name else (beside._flat,)
            if not isinstance(grads, Mapping):
                if not by_name:
                    return (grads,)
                self._flat().check_gradient("grads" + self.prefix, grads, writable=False)
                return list(Views(grads, {leaf.name: leaf.array.shape for leaf in self.leaves}, "grads").values())
        elif grads is None:
            if not one_of_groups:
                raise TypeError(f"grads{self.prefix} must be given: only a ParameterBuffer brings its gradients along")
            return [None] * len(self.leaves)
        self.check_same()
        if self._is_mapping:
            if not isinstance(grads, Mapping):
                raise TypeError(
                    f"grads{self.prefix} must be a mapping with the keys of params, got {type(grads).__name__}"
                )
            if grads.keys() != structure.keys():
                raise ValueError(_difference("grads" + self.prefix, structure, grads))
            return [grads[leaf.name] for leaf in self.leaves]
        if not isinstance(grads, (list, tuple)):
            raise TypeError(
                f"grads{self.prefix} must be a list or tuple of arrays as params is, got {type(grads).__name__}"
            )
        gathered = tuple(grads)  # the caller's list may change during the step
        if len(gathered) != len(self.leaves):
            raise ValueError(
                f"grads{self.prefix} must have as many arrays as params, {len(self.leaves)}, got {len(gathered)}"
            )
        return gathered

    def _flat(self) -> Leaf:
        flat = self.structure.flat
        return Leaf("", ".flat", flat, byte_bounds(flat))

    def check_gradients(self, grads: Sequence[Any], by_name: bool, writable: bool) -> list[tuple[str, Array]]:
        """Raise what is wrong with gathered gradients, one by one; return those that do not rest, labelled."""
        leaves = self.leaves if by_name or not self.is_buffer else [self._flat()]
        labelled = []
        for leaf, g in zip(leaves, grads, strict=True):
            leaf.check_parameter(self.label(leaf))
            if g is not None:
                leaf.check_gradient(self._gradient(leaf), g, writable)
                labelled.append((self._gradient(leaf), g))
        return labelled


def _restore(structure: Structure, prefix: str, names: list[str]) -> Parameters:
    parameters = Parameters(structure, prefix)
    parameters.names = names
    return parameters


def _difference(where: str, structure: Mapping[str, Any], grads: Mapping[str, Any]) -> str:
    missing = [name for name in structure if name not in grads]
    unknown = [name for name in grads if name not in structure]
    parts = [f"lacks {checks.listed(missing)}"] if missing else []
    parts += [f"has unknown {checks.listed(unknown)}"] if unknown else []
    return f"{where} must have the keys of params, but " + " and ".join(parts)


def _leaves(structure: Structure, where: str) -> Iterator[Leaf]:
    """Walk one group's parameters, which errors call ``where``."""
    if isinstance(structure, np.ndarray):
        yield _leaf("0", "", structure)
    elif isinstance(structure, Mapping):
        for name, array in structure.items():
            if not isinstance(name, str):
                raise TypeError(f"names in {where} must be str, got {checks.shown(name)}")
            yield _leaf(name, f'["{name if len(name) <= checks.LONGEST else checks.shown(name)[1:]}"]', array)
    elif isinstance(structure, (list, tuple)):
        for k, array in enumerate(structure):
            yield _leaf(str(k), f"[{k}]", array)
    else:
        raise TypeError(
            f"{where} must be an array, a list, tuple or mapping of arrays, or a ParameterBuffer, "
            f"got {type(structure).__name__}"
        )


def _leaf(name: str, path: str, array: Any) -> Leaf:
    return Leaf(name, path, array, byte_bounds(array) if isinstance(array, np.ndarray) else (0, 0))


def is_groups(params: Structure) -> bool:
    """Whether ``params`` is a list of groups, each a mapping with the key ``"params"``."""
    return isinstance(params, (list, tuple)) and any(isinstance(group, Mapping) for group in params)


def split_groups(params: Structure) -> list[tuple[Parameters, dict[str, Any]]]:
    """Each group's parameters and its own hyperparameters."""
    if is_groups(params):
        groups = [split_group(group, k) for k, group in enumerate(params)]
    else:
        groups = [(Parameters(params), {})]
    parameters = [parameters for parameters, _ in groups]
    number(parameters)
    if not any(group.leaves for group in parameters):
        raise ValueError("params must hold at least one array, got none")
    check_apart(parameters)
    return groups


def split_group(group: Any, k: int) -> tuple[Parameters, dict[str, Any]]:
    """The parameters of the group in place k, and its own hyperparameters."""
    if not isinstance(group, Mapping):
        raise TypeError(f"params[{k}] must be a group like the others, got {type(group).__name__}")
    if "params" not in group:
        raise ValueError(f'params[{k}] must have the key "params", got {checks.listed(group)}')
    own = {key: value for key, value in group.items() if key != "params"}
    return Parameters(group["params"], f"[{k}]"), own


def arrays_of(params: Structure) -> list[Array]:
    """The arrays that a step on these parameters, or groups of them, would change."""
    return [array for parameters, _ in split_groups(params) for array in parameters.tensors(by_name=False)]


def gather(groups: Sequence[Parameters], grads: Structure, by_name: bool) -> tuple[Sequence[Any], bool]:
    """Gradients of groups in sweep order, not yet checked one by one, and whether buffers are swept by name: as they
    must be with ``by_name``, or where their gradients came so."""
    if grads is None:
        if not all(group.is_buffer for group in groups):
            raise TypeError("grads must be given: only a ParameterBuffer brings its gradients along")
        grads = [None] * len(groups)
    if not isinstance(grads, (list, tuple)):
        raise TypeError(f"grads must be a list with one entry per group, got {type(grads).__name__}")
    if len(grads) != len(groups):
        raise ValueError(f"grads must have one entry per group, {len(groups)}, got {len(grads)}")
    entries = [
        entry["params"] if isinstance(entry, Mapping) and set(entry) == {"params"} != set(group.names) else entry
        for group, entry in zip(groups, grads, strict=True)
    ]
    by_name = by_name or any(group.come_by_name(entry) for group, entry in zip(groups, entries, strict=True))
    gathered = [
        g
        for group, entry in zip(groups, entries, strict=True)
        for g in group.gather(entry, by_name, one_of_groups=True)
    ]
    return gathered, by_name


def explain(
    groups: Sequence[Parameters], grads: Sequence[Any], by_name: bool, writable: bool
) -> list[tuple[str, Array]]:
    """Raise the error that says what is wrong with gathered gradients, if anything is; return them labelled."""
    labelled: list[tuple[str, Array]] = []
    rest = list(grads)
    for group in groups:
        n = len(group.tensors(by_name))
        labelled += group.check_gradients(rest[:n], by_name, writable)
        rest = rest[n:]
    if writable:
        check_overlap(labelled)
    extents = sorted(
        (*byte_bounds(leaf.array), group.label(leaf)) for group in groups for leaf in group.leaves if leaf.array.size
    )
    for label, g in labelled:
        start, stop = byte_bounds(g)
        k = bisect_right(extents, start, key=lambda extent: extent[1])  # the first that ends after g begins
        if g.size and k < len(extents) and extents[k][0] < stop:
            raise ValueError(f"{label} must not overlap {extents[k][2]} in memory")
    return labelled


def number(groups: Sequence[Parameters]) -> None:
    """Make names unique over groups: arrays without a name of their own are counted through all groups.

    Raises before any name is changed.
    """
    taken: dict[str, str] = {}
    names: list[list[str]] = []
    count = 0
    for parameters in groups:
        named = isinstance(parameters.structure, Mapping)
        mine = []
        for leaf in parameters.leaves:
            name = leaf.name if named else str(count)
            count += 1
            if name in taken:
                raise ValueError(
                    f"names in params must differ, got {checks.shown(name)} at {taken[name]} "
                    f"and {parameters.label(leaf)}"
                )
            taken[name] = parameters.label(leaf)
            mine.append(name)
        names.append(mine)
    for parameters, mine in zip(groups, names, strict=True):
        parameters.names = mine


def places(groups: Sequence[Parameters]) -> list[tuple[Any, str, Any]]:
    """What to assign so that these are the groups of an optimizer, in this order; raises if they cannot be."""
    placed = []
    for k, group in enumerate(groups):
        there = Parameters.__new__(Parameters)
        vars(there).update(vars(group), prefix=f"[{k}]")
        placed.append(there)
    check_apart(placed)
    number(placed)
    return [
        (vars(group), key, getattr(there, key))
        for group, there in zip(groups, placed, strict=True)
        for key in ("prefix", "names")
    ]


def check_apart(groups: Sequence[Parameters]) -> None:
    """Raise if two parameters share memory."""
    check_overlap([(group.label(leaf), leaf.array) for group in groups for leaf in group.leaves])


def check_overlap(arrays: Sequence[tuple[str, Array]]) -> None:
    """Raise if two labelled C-contiguous arrays share memory."""
    extents = sorted((*byte_bounds(a), label) for label, a in arrays if a.size)
    for (_, stop, one), (start, _, other) in pairwise(extents):
        if start < stop:
            raise ValueError(f"{one} and {other} must not overlap in memory")
