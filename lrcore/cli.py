"""The command line: ``lrcore train``, ``lrcore find-lr``, ``lrcore bench`` and ``lrcore info``."""

from __future__ import annotations

import argparse
import csv
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from lrcore import __version__, base
from lrcore.control import EarlyStopping, ReduceOnPlateau
from lrcore.finder import LrFinding
from lrcore.kernels import show_config
from lrcore.pool import get_num_threads
from lrcore.schedules import Schedule, parse
from lrcore.train import tables
from lrcore.train.models import CrossEntropy, Network, SquaredError
from lrcore.train.trainer import DivergedError, Epoch, Trainer

_MODELS = ("mlp", "softmax", "linear")
_HIDDEN = (256,)
_BATCH_SIZE = 16
_STEPS = 4000  # that training takes at least, unless --epochs says otherwise
_RATES = {"SGD": 0.05}  # without --lr and --like; torch's 1e-3 needs momentum or patience
_WIDEST = 16384
_PATIENCE = 10  # epochs, where an option comes without a number
_LOW, _HIGH, _TRIALS = 1e-7, 10.0, 100  # of find-lr
_TABLE = 12  # lines that it prints

_DESCRIPTION = "lrcore: exact, compiled optimizer steps on a CPU."
_TRAIN_EPILOG = """\
examples:
  lrcore train
  lrcore train --optimizer sgd --momentum 0.9 --epochs 20
  lrcore train --dataset diabetes --model linear --out run
  lrcore train --schedule "cosine(2e-3, 4000).with_warmup(100)"
  lrcore train --epochs 100 --reduce-on-plateau 5 --early-stop 15
  lrcore train --data houses.csv --target price

A fifth of the rows is held out. Features are standardised. Equal arguments give equal results.
"""


_BENCH_EPILOG = """\
examples:
  lrcore bench --quick
  lrcore bench --case gpt2 --case tail --peers
  lrcore bench --case sizes --case tensors --peers --json results.json --plot step.png

Without --case, every group, which takes an hour or more; lrcore bench --list names them.
"""


class _UsageError(ValueError):
    """The user's mistake, in one line."""


class _FailedError(Exception):
    """What was asked for has not come about, in one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _UsageError(re.sub(r"^argument (--\S+): ", r"\1 ", message))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        Exit status: 0; 1 if training diverged or a benchmark found a wrong result; 2 for a mistake in arguments
        or data; 130 if interrupted. All but the first come with one line on stderr. Also 1, in silence, if
        stdout was closed.
    """
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
        if arguments.run is None:
            parser.print_help(sys.stderr)
            return 2
        arguments.run(arguments)
        sys.stdout.flush()
    except (_UsageError, tables.DataError) as error:
        return _stop(error, 2)
    except MemoryError as error:
        return _stop(f"not enough memory: {error}", 2)
    except _FailedError as error:
        return _stop(error, 1)
    except DivergedError as error:
        return _stop(f"{error}; a smaller --lr may help", 1)
    except KeyboardInterrupt:
        return _stop("interrupted", 130)
    except BrokenPipeError:  # as in ``lrcore train | head -1``: nobody reads on, and there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _say(text: str) -> None:
    """Print at once, with an escape for any character that stdout cannot show."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _stop(reason: object, status: int) -> int:
    print("lrcore:", " ".join(str(reason).split()), file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lrcore", description=_DESCRIPTION, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"lrcore {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_train(commands)
    _add_find_lr(commands)
    _add_bench(commands)
    _add_info(commands)
    return parser


# lrcore info


def _add_info(commands: Any) -> None:
    info = commands.add_parser(
        "info",
        help="show version, kernels chosen, instruction sets",
        description="Show what lrcore.show_config() prints: version, kernels, instruction sets, compiler.",
        allow_abbrev=False,
    )
    info.set_defaults(run=lambda arguments: show_config())


# lrcore bench


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench",
        help="time optimizer steps on this machine",
        description="Time optimizer steps on this machine, beside what memory allows, NumPy and other libraries.",
        epilog=_BENCH_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    bench.set_defaults(run=_bench)
    bench.add_argument("--quick", action="store_true", help="a few cases, a few rounds: about a minute")
    bench.add_argument("--case", metavar="NAME", action="append", help="a case or a group; may be given again")
    bench.add_argument("--list", action="store_true", help="list the groups and their cases")
    bench.add_argument("--peers", action="store_true", help="beside every library that is installed, not torch alone")
    bench.add_argument("--threads", metavar="N", type=_whole(1), help="for each (default: what lrcore may use)")
    bench.add_argument("--rounds", metavar="N", type=_whole(1), help="turns for each (default: 21; quick, 7)")
    bench.add_argument("--json", metavar="FILE", type=Path, help="write everything measured to FILE")
    bench.add_argument("--plot", metavar="FILE", type=Path, help="draw groups sizes and tensors; needs matplotlib")


def _bench(arguments: argparse.Namespace) -> None:
    from lrcore.bench import cases, plot, run
    from lrcore.bench.race import WrongResultError

    if arguments.list:
        for group, members in cases.GROUPS.items():
            _say(f"{group}: {' '.join(case.name for case in members)}")
        return
    try:
        chosen = cases.chosen(arguments.case or (cases.QUICK if arguments.quick else tuple(cases.GROUPS)))
        if arguments.plot:
            plot.check(arguments.plot, chosen)
    except ValueError as error:
        raise _UsageError(f"--{error}") from error
    for option, path in (("--json", arguments.json), ("--plot", arguments.plot)):
        if path and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise _UsageError(f"{option} must be a file in a directory that exists, got '{path}'")
    threads = arguments.threads or get_num_threads()
    rounds = arguments.rounds or (run.QUICK_ROUNDS if arguments.quick else run.ROUNDS)
    tiny = bool(os.environ.get("LRCORE_BENCH_TINY"))
    try:
        results = run.run(chosen, threads, rounds, arguments.peers, _say, arguments.json, tiny)
    except WrongResultError as error:
        raise _FailedError(error) from error
    if arguments.plot:
        plot.draw(results, arguments.plot)


# lrcore train


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train a model on a CSV file or a bundled data set",
        description="Train a model and report how well it does on held-out data.",
        epilog=_TRAIN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    train.set_defaults(run=_train)
    _add_data_and_model(train)
    group = _add_optimizer(train)
    rates = ", ".join(f"{rate} for {name.lower()}" for name, rate in _RATES.items())
    rate = group.add_mutually_exclusive_group()
    rate.add_argument(
        "--lr", metavar="RATE", type=_real,
        help=f"learning rate (default: the library's; without --like, {rates})",
    )  # fmt: skip
    rate.add_argument(
        "--schedule", metavar="TEXT", type=_schedule,
        help="learning rate by step: 'cosine(1e-3, 4000).with_warmup(100)', or what a schedule prints",
    )  # fmt: skip
    group = _add_run(train)
    group.add_argument(
        "--epochs", metavar="N", type=_whole(1),
        help=f"times through the data (default: enough for {_STEPS:,} steps)",
    )  # fmt: skip
    group.add_argument("--out", metavar="DIR", type=Path, help="write DIR/history.csv and DIR/parameters.npz")

    group = train.add_argument_group("control, by the held-out loss")
    group.add_argument(
        "--reduce-on-plateau", metavar="N", type=_whole(1), nargs="?", const=_PATIENCE,
        help="halve the rate after N epochs in a row without improvement, ten times, then stop "
        f"(without N: {_PATIENCE})",
    )  # fmt: skip
    group.add_argument(
        "--early-stop", metavar="N", type=_whole(1), nargs="?", const=_PATIENCE,
        help="stop after N epochs in a row without improvement; the parameters of the best epoch are kept "
        f"(without N: {_PATIENCE})",
    )  # fmt: skip


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
        help="whose formula and defaults: torch, keras, keras2 or optax (default: torch)",
    )  # fmt: skip
    group.add_argument("--weight-decay", metavar="X", type=_real, help="default: the library's")
    group.add_argument("--momentum", metavar="X", type=_real, help="default: the library's")
    return group


def _add_run(parser: argparse.ArgumentParser) -> Any:
    group = parser.add_argument_group("run")
    group.add_argument(
        "--batch-size", metavar="N", type=_whole(1), default=_BATCH_SIZE,
        help=f"rows a step (default: {_BATCH_SIZE})",
    )  # fmt: skip
    group.add_argument(
        "--seed", metavar="N", type=_whole(0), default=0,
        help="of the held-out rows, the initial weights and the order of the batches (default: 0)",
    )  # fmt: skip
    return group


def _one_of(choices: dict[str, Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        if text.lower() not in choices:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(choices)}, got {text!r}")
        return choices[text.lower()]

    return convert


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None


def _schedule(text: str) -> Schedule:
    try:
        return parse(text)
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"cannot be read: {error}") from error


def _whole(least: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be a whole number >= {least}, got {text!r}")
        return int(text)

    return convert


def _widths(text: str) -> tuple[int, ...]:
    widths = text.split(",")
    if not all(width.isdecimal() and 1 <= int(width) <= _WIDEST for width in widths):
        raise argparse.ArgumentTypeError(
            f"must be whole numbers from 1 to {_WIDEST} with commas between them, got {text!r}"
        )
    return tuple(map(int, widths))


def _train(arguments: argparse.Namespace) -> None:
    table, trainer = _prepare(arguments)
    if arguments.out:
        _check_writable(arguments.out)
    group = trainer.optimizer.param_groups[0]
    plateau = early = None
    if arguments.reduce_on_plateau:
        group["lr"] = plateau = ReduceOnPlateau(group["lr"], patience=arguments.reduce_on_plateau)
    if arguments.early_stop:
        early = EarlyStopping(arguments.early_stop)
    epochs = arguments.epochs or math.ceil(_STEPS / trainer.steps_per_epoch)
    if arguments.schedule:
        rates = arguments.schedule(np.arange(epochs * trainer.steps_per_epoch))
        wrong = np.flatnonzero(~(np.isfinite(rates) & (rates >= 0)))
        if wrong.size:
            raise _UsageError(
                f"--schedule must be finite and >= 0 at every step, got {rates[wrong[0]]:g} at step {wrong[0]}"
            )
    rate = repr(arguments.schedule) if arguments.schedule else f"{trainer.optimizer.lr:g}"
    _print_setting(table, trainer, arguments.model, f", lr {rate}")
    _say(f"run        {epochs:,} epochs, batches of {trainer.batch_size:,}, seed {arguments.seed}")
    shown = _run(trainer, epochs, plateau, early)
    _print_results(trainer, shown)
    if arguments.out:
        _save(arguments.out, trainer, table)


def _prepare(arguments: argparse.Namespace) -> tuple[tables.Table, Trainer]:
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
            raise _UsageError("--target must go with --data, but --data is not given")
        return tables.bundled(arguments.dataset)
    if arguments.target is None:
        raise _UsageError("--target must be given with --data: the column to predict")
    return tables.read_csv(arguments.data, arguments.target)


def _hidden(arguments: argparse.Namespace) -> tuple[int, ...]:
    if arguments.model == "mlp":
        return arguments.hidden or _HIDDEN
    if arguments.hidden:
        raise _UsageError(f"--hidden must go with --model mlp, got --model {arguments.model}")
    return ()


def _optimizer(arguments: argparse.Namespace, network: Network) -> base.Optimizer:
    given = {
        "lr": arguments.schedule or arguments.lr,
        "weight_decay": arguments.weight_decay,
        "momentum": arguments.momentum,
    }
    cls = arguments.optimizer
    if arguments.like is None and given["lr"] is None:
        given["lr"] = _RATES.get(cls.__name__)
    # As a group's own, so that what an optimizer does not have is refused by lrcore and not by Python.
    group = {"params": network.params} | {name: value for name, value in given.items() if value is not None}
    convention = {} if arguments.like is None else {"like": arguments.like}
    try:
        made: base.Optimizer = cls([group], **convention)
    except (TypeError, ValueError) as error:
        raise _UsageError(error) from error
    return made


def _print_setting(table: tables.Table, trainer: Trainer, model: str, rate: str) -> None:
    split, network, optimizer = trainer.data, trainer.network, trainer.optimizer
    kind = "a number" if split.classes is None else f"one of {len(split.classes)} classes"
    _say(
        f"data       {table.name}: {len(table.target):,} rows ({len(split.y_held):,} held out), "
        f"{len(table.feature_names):,} features; {table.target_name!r} is {kind}"
    )
    _say(f"model      {model} {'-'.join(map(str, network.sizes))}, {network.params.flat.size:,} parameters")
    group = optimizer.param_groups[0]
    hyper = [f", {name} {group[name]:g}" for name in ("momentum", "weight_decay") if group.get(name)]
    _say(f"optimizer  {type(optimizer).__name__} like {optimizer.like}{rate}{''.join(hyper)}")


def _run(trainer: Trainer, epochs: int, plateau: ReduceOnPlateau | None, early: EarlyStopping | None) -> Epoch:
    """Train; returns the record of the epoch whose parameters are kept."""
    stop = ""
    with _progress_bar(epochs * trainer.steps_per_epoch) as bar:
        for _ in range(epochs):
            record = trainer.epoch(bar.update if bar else None)
            if bar:
                bar.set_postfix_str(_score(trainer, record), refresh=False)
            if plateau and plateau.update(record.held_out_loss) == "stop":
                stop = f"the rate is down to {trainer.optimizer.lr:.3g}"
            if early and early.update(record.held_out_loss, trainer.network.params, record.epoch) == "stop":
                stop = f"no improvement in {early.patience} epochs"
            if stop:
                break
    if stop:
        _say(f"stopped    after epoch {record.epoch}: {stop}")
    if early:
        early.restore(trainer.network.params)
        record = trainer.history[early.best_step - 1]
        _say(f"best       epoch {record.epoch}, whose parameters are kept")
    return record


def _progress_bar(steps: int) -> Any:
    """tqdm's bar on a terminal; nothing elsewhere, and nothing where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return nullcontext()
    layout = "training   {percentage:3.0f}% |{bar:24}| {n_fmt}/{total_fmt} steps, {remaining} left{postfix}"
    return tqdm(total=steps, bar_format=layout, disable=None, leave=False)


def _score(trainer: Trainer, record: Epoch) -> str:
    if trainer.data.classes is not None:
        return f"accuracy {record.held_out_score:.2%}"
    return f"R² {record.held_out_score:.4f}"


def _print_results(trainer: Trainer, kept: Epoch) -> None:
    steps, seconds = trainer.optimizer.step_count, trainer.seconds
    name = "loss" if trainer.data.classes is not None else "mean squared error"
    _say(f"held out   {name} {kept.held_out_loss:.4g}, {_score(trainer, kept)}")
    _say(
        f"speed      {steps:,} steps in {seconds:.2f} s: {steps / seconds:,.0f} steps/s, "
        f"{trainer.optimizer_seconds / seconds:.1%} of the time in the optimizer"
    )


def _check_writable(out: Path) -> None:
    """Raise if files could not be written under ``out``, before training has begun. Creates nothing."""
    nearest = next(path for path in (out, *out.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise _UsageError(f"--out must be a directory, but '{nearest}' is none")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise _UsageError(f"--out must be writable, but '{nearest}' is not: {error.strerror}") from error


def _save(out: Path, trainer: Trainer, table: tables.Table) -> None:
    """Write history and parameters, each whole or not at all."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".lrcore-") as staging:
            _write_history(Path(staging, "history.csv"), trainer)
            np.savez(Path(staging, "parameters.npz"), **_what_prediction_needs(trainer, table))
            for path in sorted(Path(staging).iterdir()):
                path.replace(out / path.name)
    except OSError as error:
        raise _UsageError(f"--out '{out}' cannot be written: {error.strerror}") from error
    _say(f"written    {out / 'history.csv'}, {out / 'parameters.npz'}")


def _write_history(path: Path, trainer: Trainer) -> None:
    *names, _ = (field.name for field in fields(Epoch))
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, f"held_out_{trainer.network.loss.score_name}"])
        writer.writerows(map(astuple, trainer.history))


def _what_prediction_needs(trainer: Trainer, table: tables.Table) -> dict[str, Any]:
    split = trainer.data
    arrays = dict(trainer.network.params)
    arrays |= {
        "feature_names": np.array(table.feature_names),
        "feature_mean": split.mean,
        "feature_std": split.std,
    }
    if split.classes is not None:
        return arrays | {"classes": split.classes}
    return arrays | {"target_mean": np.array(split.target_mean), "target_std": np.array(split.target_std)}


# lrcore find-lr


def _add_find_lr(commands: Any) -> None:
    find = commands.add_parser(
        "find-lr",
        help="suggest a learning rate by trying many, a step each",
        description="Try rates from low to high, one batch each, and suggest some for lrcore train --lr.",
        allow_abbrev=False,
    )
    find.set_defaults(run=_find_lr, lr=_LOW, schedule=None)  # a rate, because some optimizers have no default
    _add_data_and_model(find)
    _add_optimizer(find)
    group = _add_run(find)
    group.add_argument("--low", metavar="RATE", type=_real, default=_LOW, help=f"lowest rate (default: {_LOW:g})")
    group.add_argument("--high", metavar="RATE", type=_real, default=_HIGH, help=f"highest rate (default: {_HIGH:g})")
    group.add_argument(
        "--steps", metavar="N", type=_whole(2), default=_TRIALS, help=f"rates to try (default: {_TRIALS})"
    )


def _find_lr(arguments: argparse.Namespace) -> None:
    table, trainer = _prepare(arguments)
    _print_setting(table, trainer, arguments.model, "")
    try:
        found = trainer.find_lr(arguments.low, arguments.high, arguments.steps)
    except ValueError as error:
        raise _UsageError(error) from error
    _print_curve(found)
    if math.isnan(found.minimum):
        _say("suggested  none: no rate lowered the loss")
        return
    _say(f"steepest   {found.steepest:.2g}, where the loss falls fastest")
    _say(f"valley     {found.valley:.2g}, halfway down its longest fall")
    _say(f"minimum    {found.minimum:.2g}, where it is lowest; a tenth of it: {found.minimum_tenth:.2g}")


def _print_curve(found: LrFinding) -> None:
    """A line for every few rates, with a bar as long as the smoothed loss is high."""
    _say(f"{'lr':>10}  {'loss':>10}  {'smoothed':>10}")
    count = min(_TABLE, len(found.lr))
    highest = max(float(np.abs(found.smoothed).max()), np.finfo(float).tiny)
    for k in np.linspace(0, len(found.lr) - 1, count).round().astype(int):
        smoothed = found.smoothed[k]
        bar = "#" * round(40 * max(smoothed, 0.0) / highest)
        _say(f"{found.lr[k]:>10.2g}  {found.loss[k]:>10.4g}  {smoothed:>10.4g}  {bar}".rstrip())
    if found.diverged:
        _say(f"{'':>10}  the loss diverges above {found.lr[-1]:.2g}")
