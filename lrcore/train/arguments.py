"""The arguments of ``lrcore train`` and ``lrcore find-lr``, and the objects that they stand for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lrcore import base
from lrcore.checks import shown
from lrcore.optimizers.conventions import REQUIRED
from lrcore.schedules import Schedule, parse
from lrcore.train import tables
from lrcore.train.models import CrossEntropy, Network, SquaredError
from lrcore.train.trainer import Trainer

COUNTED = 2**53 - 1  # what the library counts to
STEPS = 4000  # that training takes at least, unless --epochs says otherwise

_MODELS = ("mlp", "softmax", "linear")
_HIDDEN = (256,)
_BATCH_SIZE = 16
# Without --lr and --like, where the default needs patience, or weight decay, and a rate that is found is too high.
_RATES = {"SGD": 0.05, "LAMB": 1e-3, "LARC": 0.05, "Lion": 1e-3, "SM3": 0.1, "SimplifiedAdEMAMix": 1e-5}
_WIDEST, _DEEPEST = 16384, 100  # units of a hidden layer, hidden layers
_PATIENCE = 10  # epochs, where an option comes without a number
_LOW, _HIGH, _TRIALS = 1e-7, 10.0, 100  # of find-lr
TO_FIND = (_LOW, 100.0, _TRIALS)  # where the library has no default: a trust coefficient makes rates large
_MOST_TRIALS = 1_000_000


class UsageError(ValueError):
    """The user's mistake, in one line."""


def add_train(train: argparse.ArgumentParser) -> None:
    """The arguments of ``lrcore train``."""
    _add_data_and_model(train)
    group = _add_optimizer(train)
    rates = ", ".join(f"{rate} for {name.lower()}" for name, rate in _RATES.items())
    rate = group.add_mutually_exclusive_group()
    rate.add_argument(
        "--lr", metavar="RATE", type=_real,
        help=f"learning rate (default: the library's; without --like, {rates}, and where the library has none, "
        "a tenth of find-lr's valley)",
    )  # fmt: skip
    rate.add_argument(
        "--schedule", metavar="TEXT", type=_schedule,
        help="learning rate by step: 'cosine(1e-3, 4000).with_warmup(100)', or what a schedule prints",
    )  # fmt: skip
    group = _add_run(train)
    group.add_argument(
        "--epochs", metavar="N", type=whole(1),
        help=f"times through the data (default: enough for {STEPS:,} steps)",
    )  # fmt: skip
    group.add_argument("--out", metavar="DIR", type=_folder, help="write DIR/history.csv and DIR/parameters.npz")

    group = train.add_argument_group("control, by the held-out loss")
    group.add_argument(
        "--reduce-on-plateau", metavar="N", type=whole(1, COUNTED), nargs="?", const=_PATIENCE,
        help="halve the rate after N epochs in a row without improvement, ten times, then stop "
        f"(without N: {_PATIENCE})",
    )  # fmt: skip
    group.add_argument(
        "--early-stop", metavar="N", type=whole(1, COUNTED), nargs="?", const=_PATIENCE,
        help="stop after N epochs in a row without improvement; the parameters of the best epoch are kept "
        f"(without N: {_PATIENCE})",
    )  # fmt: skip


def add_find_lr(find: argparse.ArgumentParser) -> None:
    """The arguments of ``lrcore find-lr``."""
    find.set_defaults(lr=_LOW, schedule=None)  # a rate, because some libraries have no default
    _add_data_and_model(find)
    _add_optimizer(find)
    group = _add_run(find)
    group.add_argument("--low", metavar="RATE", type=_real, default=_LOW, help=f"lowest rate (default: {_LOW:g})")
    group.add_argument("--high", metavar="RATE", type=_real, default=_HIGH, help=f"highest rate (default: {_HIGH:g})")
    group.add_argument(
        "--steps", metavar="N", type=whole(2, _MOST_TRIALS), default=_TRIALS, help=f"rates to try (default: {_TRIALS})"
    )


def _add_data_and_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    source = group.add_mutually_exclusive_group()
    source.add_argument("--data", metavar="FILE", help="CSV file: a line of names, then rows of numbers")
    source.add_argument(
        "--dataset", metavar="NAME", type=_one_of({name: name for name in tables.BUNDLED}), default="digits",
        help=f"{', '.join(tables.BUNDLED)}; needs scikit-learn (default: digits)",
    )  # fmt: skip
    group.add_argument("--target", metavar="COLUMN", help="column of FILE to predict; a class may be text")

    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", metavar="NAME", type=_one_of({name: name for name in _MODELS}), default="mlp",
        help="mlp (classes or numbers, as the target is), softmax (classes), linear (numbers) (default: mlp)",
    )  # fmt: skip
    group.add_argument(
        "--hidden", metavar="N[,N...]", type=_widths,
        help=f"units of the mlp's hidden layers (default: {','.join(map(str, _HIDDEN))})",
    )  # fmt: skip


def _add_optimizer(parser: argparse.ArgumentParser) -> Any:
    known = {name.lower(): cls for name, cls in base.registered().items()}
    group = parser.add_argument_group("optimizer")
    group.add_argument(
        "--optimizer", metavar="NAME", type=_one_of(known), default="adamw",
        help=f"{', '.join(known)} (default: adamw)",
    )  # fmt: skip
    group.add_argument(
        "--like", metavar="LIBRARY",
        help="whose formula and defaults, as torch, keras, keras2 or optax (default: the first that it has)",
    )  # fmt: skip
    group.add_argument("--weight-decay", metavar="X", type=_real, help="default: the library's")
    group.add_argument("--momentum", metavar="X", type=_real, help="default: the library's")
    return group


def _add_run(parser: argparse.ArgumentParser) -> Any:
    group = parser.add_argument_group("run")
    group.add_argument(
        "--batch-size", metavar="N", type=whole(1), default=_BATCH_SIZE,
        help=f"rows a step (default: {_BATCH_SIZE})",
    )  # fmt: skip
    group.add_argument(
        "--seed", metavar="N", type=whole(0), default=0,
        help="of the held-out rows, the initial weights and the order of the batches (default: 0)",
    )  # fmt: skip
    return group


def _one_of(choices: dict[str, Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        if text.lower() not in choices:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(choices)}, got {shown(text)}")
        return choices[text.lower()]

    return convert


def _real(text: str) -> float:
    try:
        if not text.isascii() or "_" in text:  # in which Python sees numbers too
            raise ValueError
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {shown(text)}") from None


def _schedule(text: str) -> Schedule:
    try:
        return parse(text)
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"cannot be read: {error}") from error


def whole(least: int, most: int = 10**40 - 1) -> Callable[[str], int]:
    """The converter of a whole number from ``least`` to ``most``: by default a seed of 128 bits is well within."""

    def convert(text: str) -> int:
        number = _digits(text, most)
        if number is None or number < least:
            raise argparse.ArgumentTypeError(f"must be a whole number >= {least}, got {shown(text)}")
        if number > most:
            raise argparse.ArgumentTypeError(f"must be a whole number <= {most}, got {shown(text)}")
        return number

    return convert


def _digits(text: str, most: int) -> int | None:
    """The number that ASCII digits stand for, or another above ``most`` if it is larger; None if it is no number."""
    if not text.isascii() or not text.isdigit():
        return None
    digits = text.lstrip("0") or "0"
    return int(digits) if len(digits) <= len(str(most)) else most + 1


def _widths(text: str) -> tuple[int, ...]:
    widths = [_digits(width, _WIDEST) or 0 for width in text.split(",", _DEEPEST)]
    if len(widths) > _DEEPEST or not 1 <= min(widths) <= max(widths) <= _WIDEST:
        raise argparse.ArgumentTypeError(
            f"must be whole numbers from 1 to {_WIDEST} with commas between them, {_DEEPEST} at most, got {shown(text)}"
        )
    return tuple(widths)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("must be a directory, got ''")
    return Path(text)


def rate_is_to_be_found(arguments: argparse.Namespace) -> bool:
    """Whether neither the user nor the library says at what rate to train."""
    if not (arguments.like is arguments.schedule is arguments.lr is None):
        return False
    cls = arguments.optimizer
    return cls.__name__ not in _RATES and next(iter(cls.defaults.values()))["lr"] is REQUIRED


def prepare(arguments: argparse.Namespace) -> tuple[tables.Table, Trainer]:
    """The data, and what trains on them; at the lowest of all rates, where the rate is to be found."""
    table = _table(arguments)
    classify = arguments.model == "softmax" or (arguments.model == "mlp" and table.has_classes)
    split_rng, weights_rng, order_rng = np.random.default_rng(arguments.seed).spawn(3)
    split = tables.split(table, classify, split_rng)
    outputs = 1 if split.classes is None else len(split.classes)
    loss = SquaredError() if split.classes is None else CrossEntropy()
    network = Network((split.x.shape[1], *_hidden(arguments), outputs), loss, weights_rng)
    optimizer = _optimizer(arguments, network)
    return table, Trainer(network, optimizer, split, min(arguments.batch_size, len(split.y)), order_rng)


def _table(arguments: argparse.Namespace) -> tables.Table:
    if arguments.data is None:
        if arguments.target is not None:
            raise UsageError("--target must go with --data, but --data is not given")
        return tables.bundled(arguments.dataset)
    if arguments.target is None:
        raise UsageError("--target must be given with --data: the column to predict")
    return tables.read_csv(arguments.data, arguments.target)


def _hidden(arguments: argparse.Namespace) -> tuple[int, ...]:
    if arguments.model == "mlp":
        return arguments.hidden or _HIDDEN
    if arguments.hidden:
        raise UsageError(f"--hidden must go with --model mlp, got --model {arguments.model}")
    return ()


def _optimizer(arguments: argparse.Namespace, network: Network) -> base.Optimizer:
    given = {
        "lr": arguments.schedule or arguments.lr,
        "weight_decay": arguments.weight_decay,
        "momentum": arguments.momentum,
    }
    cls = arguments.optimizer
    if arguments.like is None and given["lr"] is None:
        given["lr"] = _LOW if rate_is_to_be_found(arguments) else _RATES.get(cls.__name__)
    # As a group's own, so that what an optimizer does not have is refused by lrcore and not by Python.
    group = {"params": network.params} | {name: value for name, value in given.items() if value is not None}
    convention = {} if arguments.like is None else {"like": arguments.like}
    try:
        made: base.Optimizer = cls([group], **convention)
    except (TypeError, ValueError) as error:
        raise UsageError(error) from error
    return made
