"""What ``lrcore train`` and ``lrcore find-lr`` do, and what they print."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np

from lrcore.checks import shown
from lrcore.control import EarlyStopping, ReduceOnPlateau
from lrcore.finder import LrFinding
from lrcore.schedules import Schedule
from lrcore.train import arguments as given
from lrcore.train import output, tables
from lrcore.train.arguments import UsageError
from lrcore.train.trainer import Epoch, Trainer

Say = Callable[[str], None]

_TABLE = 12  # lines that find-lr prints
_FORESEEN = 10**9  # steps of which a bar shows the share that is done
_LOOKED_AT = 10_000  # steps at which a schedule is looked at before training, from the first on, and then evenly


def train(arguments: argparse.Namespace, say: Say) -> None:
    """Train, and print how it went."""
    table, trainer = given.prepare(arguments)
    if arguments.out:
        output.check(arguments.out)
    found = _find_rate(trainer) if given.rate_is_to_be_found(arguments) else ""
    group = trainer.optimizer.param_groups[0]
    plateau = early = None
    if arguments.reduce_on_plateau:
        group["lr"] = plateau = ReduceOnPlateau(group["lr"], patience=arguments.reduce_on_plateau)
    if arguments.early_stop:
        early = EarlyStopping(arguments.early_stop)
    epochs = arguments.epochs or math.ceil(given.STEPS / trainer.steps_per_epoch)
    if arguments.schedule:
        _check_schedule(arguments.schedule, epochs * trainer.steps_per_epoch)
    rate = repr(arguments.schedule) if arguments.schedule else f"{trainer.optimizer.lr:g}"
    _print_setting(say, table, trainer, arguments.model, f", lr {rate}{found}")
    say(f"run        {epochs:,} epochs, batches of {trainer.batch_size:,}, seed {arguments.seed}")
    try:
        shown = _run(say, trainer, epochs, plateau, early)
    except ValueError as error:
        if arguments.schedule is None:
            raise
        raise UsageError(f"--schedule: {error}") from error
    _print_results(say, trainer, shown)
    if arguments.out:
        say(f"written    {', '.join(map(str, output.save(arguments.out, trainer, table)))}")


def _find_rate(trainer: Trainer) -> str:
    """Have a tenth of the rate that a search of so few steps suggests, and say so: training takes many more."""
    try:
        found = trainer.find_lr(*given.TO_FIND)
    except ValueError as error:
        raise UsageError(error) from error
    if math.isnan(found.valley):
        raise UsageError(
            f"--lr must be given: {trainer.optimizer.like} has no default for it in "
            f"{type(trainer.optimizer).__name__}, and no rate lowered the loss"
        )
    trainer.optimizer.lr = float(f"{found.valley / 10:.2g}")
    return " (found)"


def _check_schedule(schedule: Schedule, steps: int) -> None:
    """Raise if the rate is not valid at one of the first steps, at its end, or at some spread evenly from there on.

    If it is not at another step, training sees that when it gets there.
    """
    last = min(steps - 1, given.COUNTED)
    first = min(last, _LOOKED_AT)
    spread = (first + (last - first) * k // _LOOKED_AT for k in range(_LOOKED_AT + 1))
    at = np.unique([*range(first), *spread, min(schedule.length or 0, last)])
    rates = schedule(at)
    for k in np.flatnonzero(~(np.isfinite(rates) & (rates >= 0)))[:1]:
        raise UsageError(f"--schedule must be finite and >= 0 at every step, got {rates[k]:g} at step {at[k]}")


def _print_setting(say: Say, table: tables.Table, trainer: Trainer, model: str, rate: str) -> None:
    split, network, optimizer = trainer.data, trainer.network, trainer.optimizer
    kind = "a number" if split.classes is None else f"one of {len(split.classes)} classes"
    say(
        f"data       {table.name}: {len(table.target):,} rows ({len(split.y_held):,} held out), "
        f"{len(table.feature_names):,} features; {table.target_name!r} is {kind}"
    )
    if table.left_out is not None:
        say(f"left out   the first column, {shown(table.left_out)}: it numbers the rows")
    say(f"model      {model} {'-'.join(map(str, network.sizes))}, {network.params.flat.size:,} parameters")
    group = optimizer.param_groups[0]
    hyper = [f", {name} {group[name]:g}" for name in ("momentum", "weight_decay") if group.get(name)]
    say(f"optimizer  {type(optimizer).__name__} like {optimizer.like}{rate}{''.join(hyper)}")


def _run(
    say: Say, trainer: Trainer, epochs: int, plateau: ReduceOnPlateau | None, early: EarlyStopping | None
) -> Epoch:
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
        say(f"stopped    after epoch {record.epoch}: {stop}")
    if early:
        early.restore(trainer.network.params)
        record = trainer.history[early.best_step - 1]
        say(f"best       epoch {record.epoch}, whose parameters are kept")
    return record


def _progress_bar(steps: int) -> Any:
    """tqdm's bar on a terminal; nothing elsewhere, and nothing where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return nullcontext()
    layout = "training   {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} steps, {remaining} left{postfix}"
    if steps > _FORESEEN:
        layout = "training   {n_fmt} steps, {elapsed}{postfix}"
    return tqdm(total=steps, bar_format=layout, disable=None, leave=False, dynamic_ncols=True)


def _score(trainer: Trainer, record: Epoch) -> str:
    if trainer.data.classes is not None:
        return f"accuracy {record.held_out_score:.2%}"
    return f"R² {record.held_out_score:.4f}"


def _print_results(say: Say, trainer: Trainer, kept: Epoch) -> None:
    steps, seconds = trainer.optimizer.step_count, trainer.seconds
    name = "loss" if trainer.data.classes is not None else "mean squared error"
    say(f"held out   {name} {kept.held_out_loss:.4g}, {_score(trainer, kept)}")
    say(
        f"speed      {steps:,} steps in {seconds:.2f} s: {steps / seconds:,.0f} steps/s, "
        f"{trainer.optimizer_seconds / seconds:.1%} of the time in the optimizer"
    )


def find_lr(arguments: argparse.Namespace, say: Say) -> None:
    """Try rates, and print those that suit."""
    table, trainer = given.prepare(arguments)
    _print_setting(say, table, trainer, arguments.model, "")
    try:
        found = trainer.find_lr(arguments.low, arguments.high, arguments.steps)
    except ValueError as error:
        raise UsageError(error) from error
    _print_curve(say, found)
    if math.isnan(found.minimum):
        say("suggested  none: no rate lowered the loss")
        return
    say(f"steepest   {found.steepest:.2g}, where the loss falls fastest")
    say(f"valley     {found.valley:.2g}, halfway down its longest fall")
    say(f"minimum    {found.minimum:.2g}, where it is lowest; a tenth of it: {found.minimum_tenth:.2g}")


def _print_curve(say: Say, found: LrFinding) -> None:
    """A line for every few rates, with a bar as long as the smoothed loss is high, up to twice the first."""
    say(f"{'lr':>10}  {'loss':>10}  {'smoothed':>10}")
    count = min(_TABLE, len(found.lr))
    highest = max(float(min(np.abs(found.smoothed).max(), 2 * abs(found.smoothed[0]))), np.finfo(float).tiny)
    for k in np.linspace(0, len(found.lr) - 1, count).round().astype(int):
        smoothed = found.smoothed[k]
        bar = "#" * round(40 * min(max(smoothed, 0.0) / highest, 1.0))
        say(f"{found.lr[k]:>10.2g}  {found.loss[k]:>10.4g}  {smoothed:>10.4g}  {bar}".rstrip())
    if found.diverged:
        say(f"{'':>10}  the loss diverges above {found.lr[-1]:.2g}")
