"""Files written whole or not at all: killed, interrupted, refused, and what is left behind."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from lrcore import files

NAMES = ("a", "b")


def put(data, file):
    file.write(data)


def save(folder, data, names=NAMES):
    files.write(folder, {name: partial(put, data) for name in names})


def held(folder):
    return {name: (folder / name).read_bytes() for name in sorted(os.listdir(folder))}


def test_files_are_made_replaced_and_nothing_else_is_touched(tmp_path):
    out = tmp_path / "new" / "run"
    save(out, b"1")
    assert held(out) == {"a": b"1", "b": b"1"}
    (out / "mine").write_bytes(b"mine")
    save(out, b"2")
    assert held(out) == {"a": b"2", "b": b"2", "mine": b"mine"}


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    save(tmp_path / "out", b"1")
    assert held(tmp_path / "out") == {"a": b"1", "b": b"1"}
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


def test_every_file_and_folder_reaches_the_disk(tmp_path, monkeypatch):
    events = []
    replace, fsync = os.replace, os.fsync

    def path_of(descriptor):
        return os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", lambda fd: (events.append(("sync", path_of(fd))), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append(("replace", b.name)), replace(a, b)))
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    save(tmp_path, b"1")
    moved = [events.index(("replace", name)) for name in NAMES]
    assert all(events.index(("sync", name)) < min(moved) for name in NAMES)
    assert events.index(("sync", tmp_path.name)) > max(moved)


@pytest.mark.parametrize("stage", ["writing", "replacing"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_what_was_there(tmp_path, monkeypatch, stage, error):
    (tmp_path / "a").write_bytes(b"old")
    replace = os.replace

    def fail(*args):
        raise error

    def second_fails(source, target):
        if target.name == "b" and ".lrcore-" in str(source):
            raise error
        replace(source, target)

    contents = {"a": partial(put, b"new"), "b": fail if stage == "writing" else partial(put, b"new")}
    with monkeypatch.context() as patch:
        if stage == "replacing":
            patch.setattr(os, "replace", second_fails)
        with pytest.raises(type(error)):
            files.write(tmp_path, contents)
    assert held(tmp_path) == {"a": b"old"}


def test_check_refuses_what_write_could_not_do(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "out" / "b").mkdir(parents=True)
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for folder in ("file", "file/below", "dangling", "loop"):
        with pytest.raises(OSError, match=r".+"):
            files.check(tmp_path / folder, NAMES)
    with pytest.raises(IsADirectoryError):
        files.check(tmp_path / "out", NAMES)
    for name in ("x" * 300, "x/" * 3000, "missing/" + "x" * 300):
        with pytest.raises(OSError, match="too long"):
            files.check(tmp_path / name, NAMES)
    files.check(tmp_path / "out" / "c" / "d", NAMES)
    assert sorted(os.listdir(tmp_path)) == ["dangling", "file", "loop", "out"]


KILLED = """
import sys
from pathlib import Path
from lrcore import files
print("ready", flush=True)
for k in range(10**9):
    data = str(k).encode() * 20_000
    files.write(Path(sys.argv[1]), {name: lambda file, data=data: file.write(data) for name in ("a", "b")})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL") or files.fcntl is None, reason="needs SIGKILL and locks")
def test_killed_at_random_moments_the_files_are_whole_and_nothing_stays(tmp_path):
    rng = random.Random(0)
    out = tmp_path / "out"
    leftovers = 0
    save(out, b"7")
    for _ in range(25):
        with subprocess.Popen([sys.executable, "-c", KILLED, str(out)], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.05))
            process.kill()
        for name in NAMES:
            data = (out / name).read_bytes()
            assert data == b"7" or (len(data) % 20_000 == 0 and data == data[: len(data) // 20_000] * 20_000)
        leftovers += any(name.startswith(".lrcore-") for name in os.listdir(out))
    assert leftovers  # else nothing was killed in the middle
    save(out, b"8")
    assert held(out) == {"a": b"8", "b": b"8"}


@pytest.mark.skipif(files.fcntl is None, reason="needs locks")
def test_only_what_is_ones_own_and_dead_is_swept(tmp_path):
    def leftover(name, file):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_bytes(b"")

    leftover(".lrcore-writing-dead", "a")
    leftover(".lrcore-writing-dead2", "old-b")
    leftover(".lrcore-writing-notes", "diary")
    leftover(".lrcore-notes", "a")
    (tmp_path / ".lrcore-writing-link").symlink_to(tmp_path / ".lrcore-notes")
    with files._staging(tmp_path) as alive:
        save(tmp_path, b"1")
        kept = {".lrcore-writing-notes", ".lrcore-notes", ".lrcore-writing-link", alive.name}
        assert set(os.listdir(tmp_path)) == {*NAMES, *kept}
    assert not alive.exists()
    shutil.rmtree(tmp_path / ".lrcore-notes")
