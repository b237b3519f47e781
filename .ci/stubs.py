"""Hold the typed stubs against the compiled modules that are installed.

Each build of the kernels has a stub of its own in an installed package, copied from the one in the sources; here too.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

ROOT = Path(__file__).parent.parent
INTERNAL = ("__reduce_cython__", "__setstate_cython__", "__test__", "POOL")
"""What Cython leaves in a module, and what the compiled modules have from the pool's."""


def compiled() -> list[str]:
    """Names of the compiled modules of lrcore that are installed."""
    found = []
    names = {path.stem for path in (ROOT / "lrcore").glob("_*.pyi")}
    for name in sorted(names | {f"{name}_{level}" for name in names for level in ("baseline", "v2", "v3", "v4")}):
        spec = importlib.util.find_spec(f"lrcore.{name}")
        if spec and spec.origin and spec.origin.endswith(tuple(EXTENSION_SUFFIXES)):
            found.append(name)
    return found


def main() -> int:
    modules = compiled()
    if not modules:
        print("no compiled module is installed: nothing to hold the stubs against")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "lrcore")
        shutil.copytree(ROOT / "lrcore", package, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd"))
        for name in modules:
            stub = package / f"{name}.pyi"
            if not stub.exists():
                shutil.copy(package / f"{re.sub('_[^_]+$', '', name)}.pyi", stub)
        argv = [sys.executable, "-P", "-m", "mypy.stubtest", "--mypy-config-file", str(ROOT / "pyproject.toml")]
        allowed = Path(folder, "allowed")
        allowed.write_text("".join(f"lrcore\\.\\w+(\\.\\w+)?\\.{name}\n" for name in INTERNAL))
        argv += ["--allowlist", str(allowed), "--ignore-unused-allowlist"]
        return subprocess.run([*argv, *(f"lrcore.{name}" for name in modules)], cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
