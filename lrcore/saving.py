"""State and file: parameters, an optimizer, what controls it, in one file that holds no code, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import numpy as np

from lrcore import checks, files, hyperparameters, state, structure
from lrcore.arrays import Array, Change, change
from lrcore.base import Optimizer
from lrcore.options import Options
from lrcore.structure import Params
from lrcore.watch import Watch

FORMAT = 1
SUFFIXES = (".npz", ".safetensors")

_TEXT = "lrcore"  # what the file calls the JSON text that says what its arrays are
_ARRAY = "array"  # the key under which that text names an array
_PLAIN = " !#$&'()*+,-.:;=@[]^_`{}~"  # in names of arrays as they are, besides letters and digits
_NOT_SETTINGS = ("like", "maximize", "allocator")  # saved among the rest, or not data


def save(
    path: str | os.PathLike[str],
    *,
    params: Params | None = None,
    optimizer: Optimizer | None = None,
    control: Iterable[Watch] = (),
    extra: Any = None,
) -> None:
    """Write what a run needs to go on with the same bits into one file.

    Parameters
    ----------
    path : str or path
        Its ending chooses the format: ``.npz``, which NumPy alone reads (``np.load(path)["params/w1"]``), or
        ``.safetensors`` (needs safetensors: ``pip install "lrcore[files]"``). Neither holds code.
    params : array, sequence, mapping, ParameterBuffer or groups, optional
        By default those of ``optimizer``.
    optimizer : Optimizer, optional
        Its state, step, hyperparameters, options (``ema``, ``clip_norm`` …) and schedules.
    control : iterable of ReduceOnPlateau or EarlyStopping
    extra : what JSON can hold
        Given back by :func:`load`.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described. Nothing was written.
    ImportError
        safetensors is not installed.
    OSError
        It cannot be written there. A file that was there is as it was.
    RuntimeError
        A thread is in a step of the optimizer, or its averages are swapped in.

    Notes
    -----
    The file is written beside its place, brought to the disk and renamed: whoever is killed meanwhile leaves the old
    one whole. Arrays are named ``params/w1``, ``state/w1/m``; in names, what is neither a letter, a digit nor plain
    punctuation is written as in addresses, ``%2F``. The text ``lrcore`` says the rest, in JSON.
    """
    path = _checked_path(path)
    arrays: dict[str, Array] = {}
    with ExitStack() as held:
        if optimizer is not None:
            _hold(optimizer, held, "save")
        told = {"format": FORMAT, "lrcore": _version(), **_told(params, optimizer, tuple(control), arrays)}
        told["extra"] = extra
        try:
            text = json.dumps(told)
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"extra must be what JSON can hold: {error}") from error
        files.write(path.absolute().parent, {path.name: _writer(path, text, arrays)})


def load(
    path: str | os.PathLike[str],
    *,
    params: Params | None = None,
    optimizer: Optimizer | None = None,
    control: Iterable[Watch] = (),
    strict: bool = True,
) -> Any:
    """Bring parameters, optimizer and control to where :func:`save` left them, in place: all of it, or nothing.

    Parameters
    ----------
    path : str or path
    params : array, sequence, mapping, ParameterBuffer or groups, optional
        Of the names, shapes and dtypes that were saved. By default those of ``optimizer``.
    optimizer : Optimizer, optional
        Made as the one that was saved. Hyperparameters that are numbers are loaded; those that are schedules stay.
    control : iterable of ReduceOnPlateau or EarlyStopping
        In the order in which they were saved, made with the same arguments.
    strict : bool
        False: accept other schedules and options than were saved, and leave out what is not asked for.

    Returns
    -------
    object
        What :func:`save` was given as ``extra``.

    Raises
    ------
    TypeError, ValueError
        The file is none of :func:`save`, or is of another model, optimizer or control. Nothing has changed.
    ImportError
        safetensors is not installed.
    OSError
        It cannot be read.
    RuntimeError
        A thread is in a step of the optimizer, or its averages are swapped in.
    """
    path = _checked_path(path)
    strict = checks.flag("strict", strict)
    control = tuple(control)
    told, arrays = _read(path)
    with ExitStack() as held:
        if optimizer is not None:
            _hold(optimizer, held, "load")
            params = optimizer.params if params is None else params
        change(*_changes(told, arrays, params, optimizer, control, strict))
    return told["extra"]


def _changes(
    told: Mapping[str, Any], arrays: Mapping[str, Array], params: Params | None, optimizer: Optimizer | None,
    control: Sequence[Watch], strict: bool,
) -> Iterator[Change]:  # fmt: skip
    """What :func:`load` changes; raises if it cannot be."""
    if strict:
        _check_complete(told, params, optimizer, control)
    if params is not None:
        yield _loading_params(params, _part(told, "params", arrays))
    if optimizer is not None:
        saved = _part(told, "optimizer", arrays)
        if strict:
            _check_settings(saved, optimizer)
        yield optimizer._loading(saved)
    if control:
        entries = _part(told, "control", arrays)
        _check_control(control, entries)
        for watch, entry in zip(control, entries, strict=True):
            yield watch._loading(entry["state"])


def _part(told: Mapping[str, Any], name: str, arrays: Mapping[str, Array]) -> Any:
    if not told[name]:
        raise ValueError(f"{name} must not be given, since the file has none")
    return _with_arrays(told[name], arrays)


# What is told: a tree that JSON can hold, in which {"array": key} stands for an array of the file.


def _told(
    params: Params | None, optimizer: Optimizer | None, control: Sequence[Watch], arrays: dict[str, Array]
) -> dict[str, Any]:
    """The tree of what is to be saved; its arrays are put into ``arrays``."""
    told: dict[str, Any] = {"params": None, "optimizer": None, "control": []}
    if optimizer is not None:
        params = optimizer.params if params is None else params
        saved = optimizer._saved()
        told["optimizer"] = {
            **saved,
            "state": _without_arrays(saved["state"], ("state",), arrays),
            "options": _options(optimizer),
            "schedules": _schedules(optimizer),
        }
    if params is not None:
        told["params"] = _without_arrays(_named(params), ("params",), arrays)
    for k, watch in enumerate(control):
        kept = _without_arrays(_watch(k, watch).state_dict(), ("control", str(k)), arrays)
        told["control"].append({"kind": type(watch).__name__, "state": kept})
    return told


def _without_arrays(tree: Any, where: tuple[str, ...], arrays: dict[str, Array]) -> Any:
    if isinstance(tree, np.ndarray):
        key = "/".join(map(_part_of_key, where))
        arrays[key] = tree
        return {_ARRAY: key}
    if isinstance(tree, Mapping):
        return {key: _without_arrays(entry, (*where, key), arrays) for key, entry in tree.items()}
    if isinstance(tree, list):
        return [_without_arrays(entry, (*where, str(k)), arrays) for k, entry in enumerate(tree)]
    return tree


def _with_arrays(tree: Any, arrays: Mapping[str, Array]) -> Any:
    if isinstance(tree, Mapping):
        key = tree.get(_ARRAY)
        if isinstance(key, str) and len(tree) == 1:
            if key not in arrays:
                raise ValueError(f"path must be a whole file of lrcore.save, but has no array {checks.shown(key)}")
            return arrays[key]
        return {name: _with_arrays(entry, arrays) for name, entry in tree.items()}
    if isinstance(tree, list):
        return [_with_arrays(entry, arrays) for entry in tree]
    return tree


def _part_of_key(name: str) -> str:
    # NumPy takes ".npy" at the end of a name away.
    return quote(name, safe=_PLAIN, errors="surrogatepass").replace(".npy", "%2Enpy")


def _named(params: Params) -> dict[str, Array]:
    """Every parameter by its name."""
    named: dict[str, Array] = {}
    for parameters, _ in structure.split_groups(params):
        parameters.check_same()
        named |= dict(zip(parameters.names, parameters.tensors(by_name=True), strict=True))
    return named


def _options(optimizer: Optimizer) -> dict[str, Any]:
    """What an optimizer was told besides hyperparameters."""
    spans = optimizer._spans._asdict()
    names = [name for name in Options.__annotations__ if name not in _NOT_SETTINGS]
    return {name: spans[name] if name in spans else getattr(optimizer, name) for name in names}


def _schedules(optimizer: Optimizer) -> list[dict[str, Any]]:
    """For each group, the hyperparameters that are schedules, as data; of other functions, what kind they are."""

    def told(value: Any) -> Any:
        if isinstance(value, tuple):
            return [told(entry) if callable(entry) else entry for entry in value]
        try:
            return value.to_dict()
        except (AttributeError, TypeError):
            return {"kind": type(value).__name__}

    return [
        {key: told(value) for key, value in group.items() if hyperparameters.is_scheduled(value)}
        for group in optimizer.param_groups
    ]


def _watch(k: int, watch: Any) -> Watch:
    if not isinstance(watch, Watch):
        raise TypeError(f"control[{k}] must be a ReduceOnPlateau or an EarlyStopping, got {type(watch).__name__}")
    return watch


def _hold(optimizer: Any, held: ExitStack, method: str) -> None:
    """Let no thread step the optimizer meanwhile."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be an Optimizer, got {type(optimizer).__name__}")
    optimizer._refuse_if_busy(method)
    held.enter_context(optimizer._lock)


# What is loaded, checked before anything changes.


def _loading_params(params: Params, saved: Mapping[str, Any]) -> Change:
    mine = _named(params)
    state.check_arrays({"params": saved}, {"params": mine})
    return Change(list(mine.values()), [saved[name] for name in mine])


def _check_complete(
    told: Mapping[str, Any], params: Params | None, optimizer: Optimizer | None, control: Sequence[Watch]
) -> None:
    """Raise if the file has what is not asked for."""
    for name, given in (("params", params), ("optimizer", optimizer), ("control", control or None)):
        if told[name] and given is None:
            raise ValueError(f"{name} must be given, since the file has it; with strict=False it is left out")


def _check_settings(saved: Mapping[str, Any], optimizer: Optimizer) -> None:
    """Raise if options or schedules are others than were saved."""
    pairs = [
        (name, theirs, mine)
        for name, mine in json.loads(json.dumps(_options(optimizer))).items()
        if (theirs := saved["options"].get(name)) != mine
    ]
    for k, (theirs, mine) in enumerate(zip(saved["schedules"], _schedules(optimizer), strict=False)):
        mine = json.loads(json.dumps(mine))
        for name in sorted({*theirs, *mine}):
            if theirs.get(name) != mine.get(name):
                pairs.append((f"{name} of param_groups[{k}]", theirs.get(name), mine.get(name)))
    for name, theirs, mine in pairs[:1]:
        raise ValueError(
            f"{name} must be what was saved, {_words(theirs)}, got {_words(mine)}; strict=False accepts it"
        )


def _words(told: Any) -> str:
    """A schedule or an option as an error names it."""
    if isinstance(told, Mapping):
        from lrcore import schedules

        try:
            return checks.shown(schedules.from_dict(told))
        except (TypeError, ValueError):
            return checks.shown(told.get("kind", told))
    return checks.shown(told)


def _check_control(control: Sequence[Watch], saved: Any) -> None:
    kinds = [entry["kind"] for entry in saved]
    mine = [type(_watch(k, watch)).__name__ for k, watch in enumerate(control)]
    if kinds != mine:
        raise ValueError(f"control must be what was saved, {checks.listed(kinds) or 'none'}, got {checks.listed(mine)}")


# The files.


def _checked_path(path: str | os.PathLike[str]) -> Path:
    checked = Path(path)
    if checked.suffix not in SUFFIXES:
        raise ValueError(f"path must end in {' or '.join(SUFFIXES)}, got {checks.shown(str(path))}")
    if checked.suffix == ".safetensors":
        _safetensors()
    return checked


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError('.safetensors needs safetensors: pip install "lrcore[files]"') from error
    return safetensors


def _version() -> str:
    from lrcore import __version__

    return __version__


def _writer(path: Path, text: str, arrays: Mapping[str, Array]) -> files.Writer:
    def write(file: IO[bytes]) -> None:
        if path.suffix == ".npz":
            np.savez(file, **{_TEXT: np.array(text), **arrays})  # type: ignore[arg-type]
        else:
            file.write(_safetensors().numpy.save(dict(arrays), {_TEXT: text}))

    return write


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """The tree and the arrays of a file; raises ValueError if it is none of :func:`save`."""
    try:
        text, arrays = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
        told = json.loads(text)
    except OSError:
        raise
    except Exception as error:  # zipfile, zlib, NumPy, safetensors and json each have their own for a spoiled file
        raise ValueError(f"path must be a whole file of lrcore.save, but {path} is not: {error!r}"[:500]) from error
    version = told.get("format") if isinstance(told, dict) else None
    if version != FORMAT:
        raise ValueError(f"path must be a file of format {FORMAT}, got {checks.shown(version)}")
    if not _is_told(told):
        raise ValueError(f"path must be a whole file of lrcore.save, but what {path} tells of its arrays is incomplete")
    return told, arrays


def _is_told(told: dict[str, Any]) -> bool:
    """Whether a tree has the form that :func:`_told` gives it; what it holds is checked where it is loaded."""
    optimizer, control = told.get("optimizer"), told.get("control")
    return (
        "extra" in told
        and isinstance(told.get("params"), (dict, type(None)))
        and (
            optimizer is None
            or (
                isinstance(optimizer, dict)
                and isinstance(optimizer.get("options"), dict)
                and isinstance(optimizer.get("schedules"), list)
                and all(isinstance(group, dict) for group in optimizer["schedules"])
            )
        )
        and isinstance(control, list)
        and all(isinstance(entry, dict) and {"kind", "state"} <= entry.keys() for entry in control)
    )


def _read_npz(path: Path) -> tuple[str, dict[str, Array]]:
    with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    return str(arrays.pop(_TEXT)), arrays


def _read_safetensors(path: Path) -> tuple[str, dict[str, Array]]:
    with _safetensors().safe_open(path, framework="numpy") as file:
        return file.metadata()[_TEXT], {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
