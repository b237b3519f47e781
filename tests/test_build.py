"""Which compilers build lrcore: those whose exact flags are known, and with which they hold."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "CMakeLists.txt").exists(), reason="needs the sources"),
    pytest.mark.skipif(not shutil.which("cmake"), reason="needs cmake"),
    pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc"),
    pytest.mark.skipif(
        not Path(sysconfig.get_path("include"), "Python.h").exists(), reason="needs the headers of Python"
    ),
]

# In place of the module that calls Cython: an empty source.
USE_CYTHON = """
function(cython_transpile source)
  cmake_parse_arguments(PARSE_ARGV 1 given "" "LANGUAGE;MODULE_NAME;OUTPUT;OUTPUT_VARIABLE" "")
  file(WRITE ${given_OUTPUT} "double product(double a, double b, double c) { return a * b + c; }\\n")
  set(${given_OUTPUT_VARIABLE} ${given_OUTPUT} PARENT_SCOPE)
endfunction()
"""
FAST = (
    "-ffast-math -Ofast -funsafe-math-optimizations -ffinite-math-only -fassociative-math -freciprocal-math "
    "-fno-signed-zeros -ffp-contract=fast"
)


def configure(tmp_path: Path, cc: str = "gcc", after: str = "", **env: str) -> tuple[bool, str]:
    """Whether CMake takes a compiler, which adds ``after`` to what it is asked for, and what it says."""
    (tmp_path / "UseCython.cmake").write_text(USE_CYTHON)
    compiler = tmp_path / "cc"
    compiler.write_text(f'#!/bin/sh\nexec {cc} "$@" {after}\n')
    compiler.chmod(0o755)
    argv = ["cmake", "-S", str(ROOT), "-B", str(tmp_path / "build"), f"-DPython_EXECUTABLE={sys.executable}",
            f"-DCMAKE_MODULE_PATH={tmp_path}", f"-DCMAKE_C_COMPILER={compiler}", "-DLRCORE_LEVELS=v3"]  # fmt: skip
    clean = {key: value for key, value in os.environ.items() if key not in ("CC", "CFLAGS", "LDFLAGS")}
    done = subprocess.run(argv, env=clean | env, capture_output=True, text=True, check=False)
    return done.returncode == 0, " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("cflags", ["", "-O2 -g", FAST, "-ffast-math", "-Ofast", "-funsafe-math-optimizations"])
def test_flags_that_can_be_overruled_are(tmp_path: Path, cflags: str) -> None:
    """Compiled after them, nothing is fused or fast; linked after them, no code that flushes subnormals at import."""
    taken, said = configure(tmp_path, CFLAGS=cflags, LDFLAGS=cflags)
    assert taken, said
    argv = ["cmake", "--build", str(tmp_path / "build"), "--target", "_kernels_v3", "--verbose"]
    built = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (module,) = (tmp_path / "build").glob("_kernels_v3*.so")
    assert b"set_fast_math" not in module.read_bytes()
    if disassembler := shutil.which("objdump"):
        code = subprocess.run([disassembler, "-d", str(module)], capture_output=True, text=True, check=True).stdout
        assert "vmulsd" in code
        assert "vfmadd" not in code


@pytest.mark.parametrize("after", ["-ffast-math", "-ffinite-math-only", "-mfpmath=387"])
def test_a_compiler_that_stays_inexact_is_refused(tmp_path: Path, after: str) -> None:
    if os.uname().machine != "x86_64" and after.startswith("-m"):
        pytest.skip("an option of x86")
    taken, said = configure(tmp_path, after=after)
    assert not taken
    assert "lrcore must compute the same bits on every machine, and GNU" in said


def test_a_compiler_that_nobody_named_is_refused(tmp_path: Path) -> None:
    """Intel's, by the macro that CMake knows it by: its arithmetic is fast unless told otherwise."""
    taken, said = configure(tmp_path, after="-D__INTEL_LLVM_COMPILER=20240100")
    assert not taken
    assert "no flags are known that make IntelLLVM 2024.1.0 do so" in said
