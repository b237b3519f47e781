"""The command line: ``lrcore train``, ``lrcore find-lr``, ``lrcore bench`` and ``lrcore info``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from lrcore import __version__
from lrcore.checks import shown
from lrcore.kernels import show_config
from lrcore.pool import get_num_threads
from lrcore.train import arguments as given
from lrcore.train import command
from lrcore.train.arguments import UsageError, whole
from lrcore.train.tables import DataError
from lrcore.train.trainer import DivergedError

_LONGEST = 500  # characters of a message, not counting how many there are

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


class _FailedError(Exception):
    """What was asked for has not come about, in one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(re.sub(r"^argument (--\S+): ", r"\1 ", message))


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
    except (UsageError, DataError) as error:
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
        _discard_output()
        return 1
    except OSError as error:  # as in ``lrcore train > file`` where the disk is full
        _discard_output()
        where = f"{shown(error.filename)}: " if error.filename else "output cannot be written: "
        return _stop(f"{where}{error.strerror or error}", 2)
    return 0


def _discard_output() -> None:
    """Let Python not try again, at its end, to write what could not be written."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    """Print a line at once, with an escape for any character that would break it or that stdout cannot show."""
    encoding = sys.stdout.encoding or "utf-8"
    print(_visible(text).encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _stop(reason: object, status: int) -> int:
    line = _visible(" ".join(str(reason).split()))
    if len(line) > _LONGEST:
        line = f"{line[:_LONGEST]}… ({len(line)} characters)"
    encoding = sys.stderr.encoding or "utf-8"
    print("lrcore:", line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)
    return status


def _visible(text: str) -> str:
    """The text with escapes for control characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
    bench.add_argument("--threads", metavar="N", type=whole(1, 65536), help="for each (default: what lrcore may use)")
    bench.add_argument("--rounds", metavar="N", type=whole(1, 1_000_000), help="turns for each (default: 21; quick, 7)")
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
        raise UsageError(f"--{error}") from error
    for option, path in (("--json", arguments.json), ("--plot", arguments.plot)):
        if path and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise UsageError(f"{option} must be a file in a directory that exists, got '{path}'")
    threads = arguments.threads or get_num_threads()
    rounds = arguments.rounds or (run.QUICK_ROUNDS if arguments.quick else run.ROUNDS)
    tiny = bool(os.environ.get("LRCORE_BENCH_TINY"))
    try:
        results = run.run(chosen, threads, rounds, arguments.peers, _say, arguments.json, tiny)
    except WrongResultError as error:
        raise _FailedError(error) from error
    if arguments.plot:
        plot.draw(results, arguments.plot)


# lrcore train and lrcore find-lr


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train a model on a CSV file or a bundled data set",
        description="Train a model and report how well it does on held-out data.",
        epilog=_TRAIN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    train.set_defaults(run=lambda arguments: command.train(arguments, _say))
    given.add_train(train)


def _add_find_lr(commands: Any) -> None:
    find = commands.add_parser(
        "find-lr",
        help="suggest a learning rate by trying many, a step each",
        description="Try rates from low to high, one batch each, and suggest some for lrcore train --lr.",
        allow_abbrev=False,
    )
    find.set_defaults(run=lambda arguments: command.find_lr(arguments, _say))
    given.add_find_lr(find)
