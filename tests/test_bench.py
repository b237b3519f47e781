"""The benchmarks say what they measure: cases, the floor, proofs, the command."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

import lrcore as lr
from lrcore import kernels, reference, registry
from lrcore.bench import cases, implementations, plot, race, report, worker
from lrcore.bench.run import contenders
from lrcore.cli import main

CASES = cases.CASES


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRCORE_BENCH_TINY", "1")


def test_models_have_the_published_parameters() -> None:
    assert [len(CASES[name].shapes) for name in ("gpt2", "resnet50", "mlp")] == [148, 161, 6]
    assert CASES["gpt2"].elements == 124_439_808
    assert CASES["resnet50"].elements == 25_557_032
    assert CASES["mlp"].elements == 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10


def test_sizes() -> None:
    for group in ("sizes", "lists"):
        assert [case.elements for case in cases.GROUPS[group]] == [1 << k for k in range(10, 27, 2)]
    assert {case.elements for case in cases.GROUPS["tensors"]} == {1 << 20}
    assert [len(case.shapes) for case in cases.GROUPS["tensors"]] == [1, 3, 10, 30, 100, 300, 1000]


def test_names_are_unique_and_every_rule_has_a_case() -> None:
    assert len(CASES) == sum(map(len, cases.GROUPS.values()))
    assert not CASES.keys() & cases.GROUPS.keys()
    rules = {case.make([np.ones(1, case.dtype)]).param_groups[0].rule for case in cases.GROUPS["optimizers"]}
    rules |= {
        look for case in cases.GROUPS["optimizers"] for look in cases.looks(registry.registered()[case.optimizer])
    }
    assert rules == reference.RULES.keys()
    assert {case.optimizer for case in CASES.values()} == {name for name, _ in cases.users().values()}
    assert (CASES["adam-float32"].optimizer, CASES["amsgrad-float32"].optimizer) == ("AdamW", "AdamW")
    for case in CASES.values():
        for name in case.contenders:
            implementations.kind(name)


def test_an_optimizer_that_is_registered_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reference.RULES, "new", reference.RULES["adagrad"])

    class New(lr.Adagrad):
        rules: ClassVar = {"new": {"weight_decay": 0.5}, "adam": {}}
        defaults: ClassVar = {"optax": {"lr": None, "weight_decay": 0.0}}

    monkeypatch.setitem(registry._OPTIMIZERS, "New", New)
    assert cases.users()["new"] == ("New", {"weight_decay": 0.5})
    assert cases.users()["adam"] == ("AdamW", {})
    (case,) = (case for case in cases._optimizers() if case.name == "new-float64")
    assert (case.optimizer, case.hyper, case.peers) == ("New", {"weight_decay": 0.5}, cases.LIBRARIES)
    assert case.make([np.ones(1)]).param_groups[0]["lr"] == 1e-3


class _FakeOptimizer:
    def __init__(self, params: Any, foreach: bool | None = None) -> None: ...


class _FakeFused(_FakeOptimizer):
    def __init__(self, params: Any, foreach: bool | None = None, fused: bool | None = None) -> None: ...


class _FakeRefusing(_FakeFused):
    def __init__(self, params: Any, foreach: bool | None = None, fused: bool | None = None) -> None:
        if fused:
            raise RuntimeError("fused needs a GPU")


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that has, of the optimizers, these."""
    optim = SimpleNamespace(AdamW=_FakeFused, Adamax=_FakeOptimizer, NAdam=_FakeRefusing)
    fake = SimpleNamespace(optim=optim, zeros=lambda n, requires_grad: [0.0] * n)
    monkeypatch.setattr(implementations, "find_spec", lambda package: package)
    monkeypatch.setattr(implementations, "import_module", lambda name: fake)


@pytest.mark.parametrize(
    ("case", "name", "reason"),
    [
        ("adam-float32", "torch fused", None),
        ("adamax-float32", "torch fused", "torch's Adamax is not fused on a CPU"),
        ("adamax-float32", "torch foreach", None),
        ("adamax-float32", "torch default", None),
        ("nadam-float32", "torch fused", "torch's NAdam is not fused on a CPU: fused needs a GPU"),
        ("nadam-float32", "torch default", None),
        ("sgd-float32", "torch default", "torch has no SGD"),
    ],
)
def test_what_torch_has_is_found_by_trying(torch: None, case: str, name: str, reason: str | None) -> None:
    assert implementations.missing(name, CASES[case]) == reason


def test_without_peers_torch_takes_part_by_its_best(torch: None) -> None:
    own = ["lrcore buffer", "lrcore arrays", "floor", "NumPy reference"]
    assert contenders(CASES["adam-float32"], peers=False) == [*own, "torch fused"]
    assert contenders(CASES["adamax-float32"], peers=False) == [*own, "torch default", "torch foreach"]
    assert contenders(CASES["sgd-float32"], peers=False) == [*own, "torch fused"]


def test_traffic_of_adamw() -> None:
    assert CASES["16Mi"].traffic == 28 << 24
    assert CASES["adam-float64"].traffic == 56 << 24
    assert CASES["tail-1Mi"].traffic == 44 << 20


@pytest.mark.skipif(not kernels.compiled(), reason="no compiled kernels here")
@pytest.mark.parametrize("build", kernels.compiled())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_states", range(5))
def test_floor_reads_and_writes_the_streams_of_a_step(build: str, dtype: str, n_states: int) -> None:
    size = 100_003
    floor = import_module(f"lrcore._floor_{build}").Floor(size, dtype, n_states)
    assert [(array.size, array.dtype) for array in floor.arrays] == [(size, dtype)] * (2 + n_states)
    theta, g, *states = floor.arrays
    g[...] = np.arange(size)
    for _ in range(3):
        floor.step()
    for array in (theta, *states):
        np.testing.assert_array_equal(array, 3 * g)
    np.testing.assert_array_equal(g, np.arange(size))


def test_traffic_of_sums_over_each_array() -> None:
    """Momentum of 5 streams; LARS reads gradient and parameters for their norms before it, NormalizedSGD one."""
    assert CASES["momentum-float32"].traffic == 5 * 4 << 24
    assert (CASES["lars-float32"].optimizer, CASES["lars-float32"].traffic) == ("LARS", 7 * 4 << 24)
    assert CASES["novograd-float64"].traffic == 6 * 8 << 24
    assert CASES["normalizedsgd-float32"].traffic == 4 * 4 << 24
    assert not any(case.optimizer == "Fromage" for case in CASES.values())  # which costs what LARC does


@pytest.mark.skipif(not kernels.compiled(), reason="no compiled kernels here")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_reads", range(6))
def test_floor_sums_what_it_reads(dtype: str, n_reads: int) -> None:
    size = 3 * 2048 + 5
    floor = import_module(f"lrcore._floor_{kernels.compiled()[-1]}").Floor(size, dtype, 1, n_reads)
    theta, g, state, *others = floor.arrays
    assert len(others) == max(0, n_reads - 3)
    for value, array in enumerate((g, theta, state, *others), start=1):
        array[...] = value
    floor.step()
    assert floor.sums.sum() == size * sum(k * k for k in range(1, n_reads + 1))
    assert floor.traffic == kernels.traffic(theta.nbytes, 1) + n_reads * theta.nbytes
    for value, array in enumerate((theta, state, *others), start=2):
        np.testing.assert_array_equal(array, np.full(size, value + (value < 4), dtype))


@pytest.mark.parametrize("name", ["lars-float32", "larc-float64", "novograd-float32", "normalizedsgd-float64"])
def test_proof_of_sums_takes_every_element(name: str) -> None:
    case = dataclasses.replace(CASES[name], shapes=((3000,), (40, 60)))
    for taking in ("lrcore buffer", "lrcore arrays"):
        implementations.prove(taking, implementations.make(taking, case, threads=2), case)


def test_optax_computes_what_it_is_measured_for() -> None:
    """In a process of its own: threads of JAX do not stand forking."""
    if find_spec("optax") is None:
        pytest.skip("optax not installed")
    code = """
from lrcore.bench import cases, implementations
for case in cases.GROUPS["optimizers"]:
    reason = implementations.missing("optax", case)
    try:
        reason or implementations.prove("optax", implementations.make("optax", case.tiny(), threads=1), case.tiny())
    except ArithmeticError:
        reason = "another formula"  # which is skipped
    print(case.name, reason or "", sep="|")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    told = dict(line.split("|") for line in done.stdout.splitlines())
    assert told.keys() == {case.name for case in cases.GROUPS["optimizers"]}
    assert told["lars-float64"] == told["novograd-float32"] == told["rmsprop-float64"] == ""
    assert told["larc-float32"] == "lrcore's LARC has no formula of optax's"
    assert told["amsgrad-float32"] == "optax's adamw has no amsgrad"


@pytest.mark.skipif(not kernels.compiled(), reason="no compiled kernels here")
@pytest.mark.parametrize("n_states", range(5))
def test_traffic_is_counted_alike_in_python_and_compiled(n_states: int) -> None:
    module = import_module(f"lrcore._floor_{kernels.compiled()[-1]}")
    for size, dtype in ((0, "float32"), (7, "float64"), (100_003, "float32")):
        floor = module.Floor(size, dtype, n_states)
        assert floor.traffic == kernels.traffic(floor.arrays[0].nbytes, n_states)


@pytest.mark.skipif(not kernels.compiled(), reason="no compiled kernels here")
def test_floor_refuses_what_it_cannot_do() -> None:
    module = import_module(f"lrcore._floor_{kernels.compiled()[-1]}")
    with pytest.raises(ValueError, match=r"n_states must be in 0 to 4, got 5"):
        module.Floor(8, "float32", 5)
    with pytest.raises(TypeError, match=r"dtype must be float32 or float64, got int32"):
        module.Floor(8, "int32", 2)
    with pytest.raises(ValueError, match=r"n_reads must be in 0 to 6, got 7"):
        module.Floor(8, "float32", 1, 7)


@pytest.mark.parametrize("name", ["lrcore buffer", "lrcore arrays", "NumPy reference", "NumPy expression"])
@pytest.mark.parametrize("case", ["1000", "mlp"])
def test_proof_accepts_what_is_right(name: str, case: str) -> None:
    tiny = CASES[case].tiny()
    implementations.prove(name, implementations.make(name, tiny, threads=2), tiny)


@pytest.mark.parametrize("name", ["lrcore buffer", "NumPy expression"])
def test_proof_finds_what_is_wrong(name: str) -> None:
    case = CASES["1Ki"]
    made = implementations.make(name, case, threads=1)
    right = made.step

    def wrong() -> None:
        right()
        made.params[0][1023] += np.float32(1e-4)

    made.step = wrong
    with pytest.raises(ArithmeticError, match=f"^{name} must agree with the NumPy reference after 3 steps"):
        implementations.prove(name, made, case)


@pytest.mark.parametrize(("name", "refused"), [("lrcore arrays", True), ("NumPy expression", False)])
def test_proof_asks_for_the_last_bit_of_lrcore_alone(name: str, refused: bool) -> None:
    case = CASES["1Ki"]
    made = implementations.make(name, case, threads=1)
    right = made.step

    def one_bit_off() -> None:
        right()
        made.params[0][5] = np.nextafter(made.params[0][5], np.float32(np.inf))

    made.step = one_bit_off
    with pytest.raises(ArithmeticError) if refused else nullcontext():
        implementations.prove(name, made, case)


def test_turn_of_a_worker(tiny: None) -> None:
    turns = worker.Turns("lrcore buffer, 1 thread", CASES["numpy-512-128"].tiny(), threads=2)
    times = turns.take()
    assert times.keys() == {"work", "step", "both"}
    assert all(0 < seconds < 1 for seconds in times.values())


@pytest.mark.parametrize(
    ("name", "after", "steps"),
    [("lrcore buffer", 4, 10), ("lrcore arrays", 40, 40), ("floor", 1 << 20, 500), ("NumPy expression", 40, 0)],
)
def test_it_is_timed_when_it_has_learned(
    tiny: None, monkeypatch: pytest.MonkeyPatch, name: str, after: int, steps: int
) -> None:
    if name == "floor" and kernels.selected == "reference":
        pytest.skip("no compiled kernels here")
    asked: list[int] = []

    def learned() -> list[dict[str, Any]]:
        asked.append(1)
        return [{"settled": True}, {"settled": len(asked) > after}]

    monkeypatch.setattr(worker.pool, "learned", learned)
    monkeypatch.setattr(worker, "LEARN", math.inf)
    turns = worker.Turns(name, CASES["1Ki"].tiny(), threads=1)
    assert max(0, len(asked) - (steps < worker.STEPS)) == steps
    assert len(turns.first) == (worker.FIRST if steps else 0)
    assert all(seconds > 0 for seconds in turns.first)


def test_learning_ends_in_time(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(worker.pool, "learned", lambda: asked.append(1) or [{"settled": False}])
    monkeypatch.setattr(worker, "LEARN", 0.0)
    worker.Turns("lrcore buffer", CASES["1Ki"].tiny(), threads=1)
    assert len(asked) == worker.FIRST + 1


def test_what_was_learned_and_the_first_steps_are_told(tmp_path: Path) -> None:
    entry = {"steps": 9, "way": "far", "settled": True, "times": {"none": 1.25}}
    row = race.Row("lrcore buffer", step=[2.0], first=[3.0, 5.0], learned=[{**entry, "steps": 1, "way": "no"}, entry])
    told = report.record(CASES["16Mi"], [row, race.Row("floor", skipped="why")])
    assert told["rows"][0]["first"] == {"steps": [3.0, 5.0], "over_median": 2.0}
    assert told["rows"][0]["learned"] == row.learned
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"cases": [told]}))
    folder = Path(__file__).parent.parent / "bench"
    if not folder.exists():
        pytest.skip("the benchmarks are not here")
    assert "| 16 Mi elements | far (none 1.25) | 2.00 |" in subprocess.run(
        [sys.executable, str(folder / "tables.py"), str(path)], check=True, capture_output=True, text=True
    ).stdout  # fmt: skip


def test_ratios_are_of_turns_of_the_same_round() -> None:
    row = race.Row("b", step=[2.0, 9.0, 8.0], against={"a": [(2.0, 1.0), (9.0, 3.0), (8.0, 2.0)]})
    assert row.ratios("a") == [2.0, 3.0, 4.0]
    assert row.ratios("c") == []
    assert race.spread(row.ratios("a")) == (3.0, 2.5, 3.5)


def test_memory_decides_who_runs_together() -> None:
    case = CASES["64Mi"]
    rows = {name: race.Row(name) for name in contenders(case, peers=True)}
    (heat,) = race._heats(case, rows, math.inf)
    assert heat == list(rows)
    heats = list(race._heats(case, rows, 8e9))
    assert len(heats) > 1
    assert all(heat[:2] == list(case.anchors) for heat in heats)
    assert sorted(name for heat in heats for name in heat[2:]) == sorted(rows.keys() - set(case.anchors))
    assert not list(race._heats(case, rows, 1e9))
    assert all(row.skipped.startswith("needs ") for row in rows.values())


def test_command(tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr("lrcore.bench.run.contenders", lambda case, peers: [*case.anchors, *case.measures])
    path = tmp_path / "results.json"
    arguments = ["--quick", "--case", "1Ki", "--case", "tail-1Mi", "--rounds", "2", "--json", str(path)]
    assert main(["bench", *arguments]) == 0
    out = capsys.readouterr().out
    for line in report.METHOD:
        assert line in out.splitlines()
    assert "1Ki: 1 Ki elements, one array (AdamW, float32; " in out
    assert any(line.startswith("  lrcore buffer ") for line in out.splitlines())
    assert "\\n" not in out
    results = json.loads(path.read_text())
    assert results["machine"]["versions"]["numpy"] == np.__version__
    assert results["machine"]["build"] == kernels.selected
    first, second = results["cases"]
    assert (first["case"], first["group"], second["kind"]) == ("1Ki", "sizes", "tail")
    rows = {row["name"]: row for row in first["rows"]}
    assert rows.keys() == {"lrcore buffer", "lrcore arrays", "floor", "NumPy reference"}
    assert len(rows["lrcore buffer"]["step"]["rounds"]) == 2
    assert len(rows["lrcore buffer"]["first"]["steps"]) == worker.FIRST
    assert "first" not in rows["NumPy reference"]
    assert rows["NumPy reference"]["times"].keys() == {"lrcore buffer", "lrcore arrays"}
    if kernels.selected == "reference":
        assert rows["floor"]["skipped"] == "RuntimeError: there are no compiled kernels here"
    else:
        assert rows["lrcore buffer"]["of_floor"]["median"] > 0


def test_what_is_not_installed_is_a_reason_to_skip(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(implementations, "find_spec", lambda package: None)
    for name, case, package in (
        ("DeepSpeed", "1Ki", "deepspeed"),
        ("torch fused, 1 thread", "threads-1Mi", "torch"),
        ("lrcore buffer", "torch-512-128", "torch"),
    ):
        assert worker._prepare(name, CASES[case].tiny(), 1) == (None, {"skipped": f"{package} is not installed"})
    assert implementations.missing("lrcore buffer", CASES["numpy-512-128"]) is None


def test_a_worker_that_dies_is_skipped_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys; print('{}', flush=True); input(); print('out of luck', file=sys.stderr); sys.exit(3)"
    real = race.subprocess.Popen
    monkeypatch.setattr(race.subprocess, "Popen", lambda command, **rest: real([command[0], "-c", script], **rest))
    (row,) = race.race(CASES["1Ki"], ["optax"], threads=1, rounds=2)
    assert (row.skipped, row.step) == ("ended with status 3: out of luck", [])


def test_a_wrong_result_of_lrcore_ends_the_run(
    tiny: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise race.WrongResultError("lrcore buffer must agree")

    monkeypatch.setattr("lrcore.bench.run.race", refuse)
    assert main(["bench", "--case", "1Ki"]) == 1
    assert capsys.readouterr().err == "lrcore: lrcore buffer must agree\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--case", "2Ki"], "--case must be one of sizes, lists, "),
        (["--case", "1Ki", "--json", "no/such/directory/f"], "--json must be a file in a directory that exists, got"),
        (["--case", "sizes", "--plot", "f.txt"], "--plot must end in .png, .svg, .pdf, got 'f.txt'"),
        (["--case", "gpt2", "--plot", "f.png"], "--plot must go with cases of the groups sizes or tensors"),
        (["--threads", "0"], "--threads must be a whole number >= 1, got '0'"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert err.startswith(f"lrcore: {message}")


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(cases.GROUPS)


def test_curves() -> None:
    rows = [{"name": "numba", "skipped": "why"}, {"name": "lrcore buffer", "step": {"median": 2e-6}}]
    results = {"cases": [{"group": "sizes", "elements": n, "rows": rows} for n in (4096, 1024)]}
    assert plot.curves(results, "sizes", "elements") == {"lrcore buffer": [(1024, 2e-6), (4096, 2e-6)]}
    assert plot.curves(results, "tensors", "tensors") == {}


@pytest.mark.parametrize(("seconds", "text"), [(1.5, "1.5 s"), (0.01234, "12.3 ms"), (1e-3, "1 ms"), (4e-6, "4 us")])
def test_durations(seconds: float, text: str) -> None:
    assert report.duration(seconds) == text
