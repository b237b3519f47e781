"""Every build against the reference: equal bits. And how a build is chosen, and what it leaves alone."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import BUILDS, each_rule, every_optimizer, gradients
from hypothesis import given, settings
from hypothesis import strategies as st

import lrcore as lr
from lrcore import base, kernels, reference

COMPILED = [build for build in BUILDS if build != "reference"]
LENGTHS = (0, 1, 7, 8, 9, 31, 1000, 65537)


def embedded(values: np.ndarray, offset: int) -> np.ndarray:
    """A copy of ``values`` that begins ``offset`` elements into its allocation."""
    base = np.zeros(values.size + offset + 3, values.dtype)
    view = base[offset : offset + values.size].reshape(values.shape)
    view[...] = values
    return view


def run(build, cls, hyper, values, steps, wrap):
    """Parameters and state after stepping ``values``, given to the optimizer as ``wrap`` says."""
    params = wrap([v.copy() for v in values])
    with kernels.using(build):
        opt = cls(params, **hyper)
    for grads in steps:
        opt.step(wrap_grads(params, grads))
    return list(arrays_of(params)), opt.state_dict()["state"]


def wrap_grads(params, grads):
    if isinstance(params, lr.ParameterBuffer):
        for name, g in zip(params, grads, strict=True):
            params.grads[name] = g
        return None
    return grads[0] if isinstance(params, np.ndarray) else grads


def arrays_of(params):
    if isinstance(params, np.ndarray):
        return [params]
    return params.values() if isinstance(params, lr.ParameterBuffer) else params


def assert_same(one, other):
    for a, b in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    assert one[1].keys() == other[1].keys()
    for name, state in one[1].items():
        assert state.keys() == other[1][name].keys()
        for key, array in state.items():
            np.testing.assert_array_equal(array, other[1][name][key], strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("cls", "hyper"), every_optimizer())
def test_bits_of_every_rule(cls, hyper, dtype):
    """20 steps at every length and at odd offsets, as one array, as a list, and in a buffer."""
    rng = np.random.default_rng(1)
    values = [rng.standard_normal(n).astype(dtype) for n in LENGTHS]
    steps = list(zip(*[gradients((n,), dtype, 20, seed=n) for n in LENGTHS], strict=True))
    expected = run("reference", cls, hyper, values, steps, list)
    assert all(np.any(a != v) for a, v in zip(expected[0], values, strict=True) if v.size > 1)
    offsets = [1 + k % 7 for k in range(len(values))]
    for build in COMPILED:
        assert_same(run(build, cls, hyper, values, steps, list), expected)
        assert_same(run(build, cls, hyper, values, steps, lambda vs: list(map(embedded, vs, offsets))), expected)
        whole = run(build, cls, hyper, values, steps, lr.ParameterBuffer)
        assert_same((whole[0], {}), (expected[0], {}))
        for n in (1, 9, 1000) if not cls.together else ():
            k = LENGTHS.index(n)
            one = run(build, cls, hyper, [values[k]], [[s[k]] for s in steps], lambda vs: embedded(vs[0], 3))
            assert_same((one[0], {}), ([expected[0][k]], {}))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", reference.RULES)
def test_bits_of_models_beyond_the_caches(rule, dtype):
    """Where arrays come from memory they are stepped in smaller blocks, with every span around the rule."""
    cases = (case.values for case in every_optimizer())
    cls, hyper = next((cls, h) for cls, h in cases if rule in (cls(np.zeros(1), **h).param_groups[0].rule, *cls.looks))
    rng = np.random.default_rng(3)
    streams = 5 + 2 * len(reference.state_names(rule))  # with the moving average
    most = (40 << 20) // (streams * np.dtype(dtype).itemsize)
    values = [rng.standard_normal(n).astype(dtype) for n in (40_001, most, 17)]
    grads = [rng.standard_normal(v.size).astype(dtype) for v in values]
    hyper = {**hyper, "ema": 0.9, "clip_norm": 100.0, "clip_value": 0.2}

    def stepped(build):
        params = [v.copy() for v in values]
        with kernels.using(build):
            opt = cls(params, **hyper)
        for _ in range(2):
            given = [g.copy() for g in grads]
            report = opt.step(given, zero_grad=True)
            assert not any(g.any() for g in given)
        return params, opt.state_dict()["state"], report

    expected = stepped("reference")
    for build in COMPILED:
        np.testing.assert_equal(stepped(build), expected)


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 40), min_size=0, max_size=3).map(tuple), min_size=1, max_size=8),
    dtypes=st.lists(st.sampled_from([np.float32, np.float64]), min_size=8, max_size=8),
    offset=st.integers(0, 17),
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 4),
    case=st.sampled_from([(p.values[0], p.values[1]) for p in every_optimizer()]),
    build=st.sampled_from(BUILDS),
)
def test_bits_of_any_layout(shapes, dtypes, offset, seed, steps, case, build):
    rng = np.random.default_rng(seed)
    cls, hyper = case
    values = [rng.standard_normal(shape).astype(dtype) for shape, dtype in zip(shapes, dtypes, strict=False)]
    grads = [[rng.standard_normal(v.shape).astype(v.dtype) for v in values] for _ in range(steps)]
    expected = run("reference", cls, hyper, values, grads, list)
    assert_same(run(build, cls, hyper, values, grads, lambda vs: [embedded(v, offset) for v in vs]), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0, 1e-45, 1e-310, 3e38, 1e300])
@pytest.mark.parametrize(("cls", "hyper"), each_rule())
def test_bits_of_extreme_gradients(cls, hyper, value):
    for dtype in (np.float32, np.float64):
        with np.errstate(over="ignore"):
            g = np.full(37, value).astype(dtype)
        g[::3] = 0.5
        values = [np.linspace(-1, 1, 37).astype(dtype)]
        expected = run("reference", cls, hyper, values, [[g], [g]], list)
        for build in COMPILED:
            assert_same(run(build, cls, hyper, values, [[g], [g]], list), expected)


def test_each_rule_is_written_twice_with_the_same_signature():
    """The rules in src/rules unpack states and coefficients in the order of the reference's arguments."""
    folder = Path(__file__).parent.parent / "src" / "rules"
    text = "".join(path.read_text() for path in sorted(folder.glob("*.pxi")))
    bodies = dict(re.findall(r"^cdef void (\w+)\(floating\* theta(.*?)(?=^cdef|^add_rule)", text, re.S | re.M))
    assert bodies.keys() == reference.RULES.keys()
    for rule, body in bodies.items():
        states = [name for name, _ in sorted(re.findall(r"(\w+) = state\[(\d+)\]", body), key=lambda m: int(m[1]))]
        coefficients = sorted(re.findall(r"(\w+) = c\[(\d+)\]", body), key=lambda m: int(m[1]))
        assert tuple(states) == reference.state_names(rule)
        assert tuple(name for name, _ in coefficients) == reference.coefficient_names(rule)
        assert [int(k) for _, k in coefficients] == list(range(len(coefficients)))


@pytest.mark.parametrize("build", COMPILED)
def test_each_rule_is_compiled(build):
    assert set(kernels.module(build).RULES) == reference.RULES.keys()


def test_each_rule_belongs_to_an_optimizer_and_each_optimizer_is_public():
    used = set()
    for case in every_optimizer():
        cls, hyper = case.values
        opt = cls(np.zeros(3), **hyper)
        (group,) = opt.param_groups
        used.update((group.rule, *cls.looks))
        assert group.rule in cls.rules
        if cls.looks:  # its coefficients are formed of what is summed of them, and counted by the sweep
            continue
        (_, numbers) = opt._first_clocks()[0]
        coefficients = opt._coefficients(
            group.rule, group.at(0)[0], 0.1, 1, {**numbers, **dict.fromkeys(cls.sums, 1.0)}
        )
        assert len(coefficients) + 1 == len(reference.coefficient_names(group.rule))
    assert used == reference.RULES.keys()
    for name, cls in base.registered().items():
        assert getattr(lr, name) is cls
        assert name in lr.__all__
        assert cls.__doc__ is not None
        for like in cls.defaults:
            assert re.search(rf"^ *{like}  ", cls.__doc__, re.M), f"no row for {like} in the table of {name}"
        for rule, hyper in cls.rules.items():
            like = next(like for like, known in cls.defaults.items() if hyper.keys() <= known.keys())
            assert cls(np.zeros(3), **{"lr": 0.1, "like": like, **hyper}).param_groups[0].rule == rule


def test_the_public_names_are_those_that_dir_shows():
    assert dir(lr) == sorted(lr.__all__)
    assert all(getattr(lr, name) is not None for name in lr.__all__)


def test_a_class_of_ones_own_is_neither_ignored_nor_registered_in_silence():
    class Mine(lr.SGD):
        pass

    assert "Mine" not in base.registered()
    assert "Mine" in repr(Mine(np.zeros(2)))

    class Adam(lr.SGD):
        pass

    with pytest.raises(ValueError, match="an optimizer named Adam is registered already"):
        base.register(Adam)
    with pytest.raises(TypeError, match=r"rules of Wrong must be of lrcore\.reference, got 'no such rule'"):

        class Wrong(lr.SGD):
            rules = {"no such rule": {}}  # noqa: RUF012


# How a build is chosen.


def python(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key != "LRCORE_ISA"}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=clean | env, capture_output=True, text=True, check=False
    )


def test_a_compiled_build_exists_where_a_compiler_does():
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler on PATH")
    assert COMPILED
    if platform.machine() in ("x86_64", "AMD64"):
        assert list(kernels.levels()[1:]) == COMPILED


def test_the_best_build_is_chosen():
    done = python("from lrcore import kernels; print(kernels.selected)")
    assert done.stdout.strip() == BUILDS[-2], done.stderr


@pytest.mark.parametrize("build", BUILDS)
def test_the_environment_forces_a_build(build):
    done = python("import lrcore; lrcore.show_config()", LRCORE_ISA=build)
    assert re.search(rf"^build: +{build}$", done.stdout, re.M), done.stderr


def test_a_build_that_cannot_run_says_so():
    done = python("import lrcore", LRCORE_ISA="v9")
    assert done.returncode == 1
    assert f"LRCORE_ISA must be one of {', '.join(BUILDS)} on this machine, got 'v9'" in done.stderr


def test_without_compiled_kernels_there_is_one_clear_warning(tmp_path):
    """The Python files alone, as an install without a compiler leaves them."""
    package = Path(lr.__file__).parent
    shutil.copytree(package, tmp_path / "lrcore", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'Redirect' not in type(f).__name__]\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import warnings, numpy as np\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    import lrcore as lr\n"
        "    w = np.array([5.0], dtype=np.float32)\n"
        "    lr.SGD(w, lr=0.2).step(2 * (w + 1))\n"
        "print(lr.__file__); print(w[0]); print(len(caught), caught[0].message)\n"
    )
    done = python(code)
    where, value, warning = done.stdout.splitlines()
    assert where.startswith(str(tmp_path))
    assert value == "2.6"
    assert warning.startswith("1 lrcore has no compiled kernels")


def test_using_an_unknown_build_raises():
    with pytest.raises(ValueError, match=r"build must be one of .*, got 'v9'"), kernels.using("v9"):
        pass


def test_show_config(capsys):
    lr.show_config()
    printed = capsys.readouterr().out
    for key in ("version", "build", "builds available", "instruction sets", "threads", "compiler", "flags"):
        assert re.search(rf"^{key}: +\S", printed, re.M)
    assert lr.__version__ in printed


# What import and step leave alone.


def test_import_is_light():
    """A few modules of lrcore, what they need of Python, no thread, and nothing that only a command needs."""
    code = (
        "import os, sys\nimport numpy\nbefore = set(sys.modules)\nimport lrcore\n"
        "print(len(os.listdir('/proc/self/task')) if os.path.isdir('/proc/self/task') else 1)\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = python(code, OPENBLAS_NUM_THREADS="1")
    threads, names = done.stdout.splitlines()
    assert threads == "1", done.stderr
    new = names.split()
    others = {name.split(".")[0] for name in new} - {"lrcore", "numpy"}
    known = ("threadpoolctl", "cython_runtime", *sys.stdlib_module_names)
    assert [name for name in others if name not in known and not name.startswith("_cython_")] == []
    heavy = {
        "argparse",
        "csv",
        "email",
        "http",
        "json",
        "logging",
        "multiprocessing",
        "sqlite3",
        "statistics",
        "unittest",
    }
    assert not others & heavy
    mine = {".".join(name.split(".")[:2]) for name in new if name.startswith("lrcore.")}
    assert not mine & {f"lrcore.{name}" for name in ("bench", "cli", "data", "train", "schedules", "control", "finder")}
    besides = [name for name in new if not name.startswith(("lrcore.reference.", "lrcore.optimizers."))]
    assert len(besides) <= 44, f"{len(besides)} modules beside the families: {names}"


def mxcsr() -> int:
    """The floating-point control and status register, read through glibc's fenv_t: its last 4 bytes."""
    env = ctypes.create_string_buffer(32)
    ctypes.CDLL(None).fegetenv(env)
    return int.from_bytes(env.raw[28:32], "little")


@pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc", reason="reads glibc's fenv_t on x86-64"
)
@pytest.mark.parametrize("build", COMPILED)
def test_the_floating_point_environment_is_left_as_it_was(build):
    w = np.array([1.0, 1e-40, 3.0], dtype=np.float32)
    with kernels.using(build):
        opt = lr.Adam(w, lr=0.1)
    g = np.array([1e-30, 0.3, 1e30], dtype=np.float32)
    opt.step(g)
    before = mxcsr()
    opt.step(g)
    assert mxcsr() == before
