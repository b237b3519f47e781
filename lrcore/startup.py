"""What becomes of an environment variable that is not valid: an ImportError, which at the command line is one line.

This is decided while ``lrcore`` is being imported, before the command line's own module can be.
"""

from __future__ import annotations

import os
import sys


def stop_command(error: ImportError) -> None:
    """End a process that is the command ``lrcore`` with status 2 and one line; in any other, return."""
    reason = str(error)
    if reason.startswith("LRCORE_") and _is_command():
        print("lrcore:", " ".join(reason.split())[:500], file=sys.stderr)
        raise SystemExit(2)


def _is_command() -> bool:
    """Whether this process was started as ``lrcore …`` or ``python -m lrcore …``."""
    argv = getattr(sys, "argv", None) or [""]
    if argv[0] == "-m":  # while Python looks for the module to run; its name comes before what is left in argv
        return sys.orig_argv[len(sys.orig_argv) - len(argv)] in ("lrcore", "-mlrcore")
    name = os.path.basename(argv[0])
    started = getattr(sys.modules.get("__main__"), "__file__", None)
    return name in ("lrcore", "lrcore.exe", "lrcore-script.py") and started is not None
