"""House rules that a reader relies on and a tool can check: who may import what, clocks, chance, file sizes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(p for top in ("schemas", "flowlib", "stream_app") for p in (ROOT / top).rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in SOURCES]
LINES_MAX = 360

CLOCKS = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.localtime",
    "time.gmtime",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.datetime.today",
    "datetime.date.today",
}
MAY_READ_CLOCKS = (
    "stream_app/worker/",
    "stream_app/kafka/",
    "stream_app/operators/",
    "stream_app/demo/",
    "stream_app/doctor/",
    "stream_app/sinks/",
    "stream_app/console/",
    "stream_app/trainer/",
    "stream_app/monitor/",
    "stream_app/notify/",
    "stream_app/guard.py",
    "stream_app/progress.py",
    "stream_app/models/audit.py",
)
TESTS = sorted(p for p in (ROOT / "tests").rglob("*.py"))
MAY_DRAW_SEEDS = {
    "tests/seeds.py",
    "tests/bench/hostile.py",
    "tests/bench/faults/run.py",
    "tests/simulation/running.py",
}
SEEDED = {"default_rng", "Generator", "SeedSequence", "PCG64", "BitGenerator"}
PURE = ("stream_app/stages/", "flowlib/", "schemas/")
BROKER_CLIENTS = {"kafka", "faust", "aiokafka", "influxdb_client", "mode"}
FAUST_FILES = {
    f"stream_app/worker/{name}.py" for name in ("app", "batch_transport", "isolation", "positions", "sending")
}
UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """``(local name, full dotted name)`` of everything imported, at any depth."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    alias.asname or alias.name.split(".")[0],
                    alias.name if alias.asname else alias.name.split(".")[0],
                )
                yield ("", alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield (alias.asname or alias.name, f"{node.module}.{alias.name}")


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute chain on a name, else ``""``."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (head := dotted(node.value)):
        return f"{head}.{node.attr}"
    return ""


def uses(source: str) -> set[str]:
    """Full dotted names that a file imports or reaches through what it imports: ``numpy.random.rand``."""
    tree = ast.parse(source)
    known = {local: full for local, full in imports(tree) if local}
    found = {full for _, full in imports(tree)}
    for node in ast.walk(tree):
        head, _, rest = dotted(node).partition(".") if isinstance(node, ast.Attribute) else ("", "", "")
        if head in known:
            found.add(f"{known[head]}.{rest}")
    return found


def clocks(used: set[str]) -> set[str]:
    return used & CLOCKS


def chance(used: set[str]) -> set[str]:
    """Random numbers from global state."""
    numpy = {u for u in used if u.startswith("numpy.random.") and u.split(".")[2] not in SEEDED}
    return numpy | {u for u in used if u.startswith("random.") and u.split(".")[1] not in {"Random"}}


def lotteries(source: str) -> set[str]:
    """Numbers that are others in every run."""
    found = chance(uses(source)) | (uses(source) & {"os.urandom", "random.SystemRandom"})
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and not node.args and not node.keywords:
            called = dotted(node.func)
            found |= {called} if called.endswith(("default_rng", "random.Random")) else set()
    return found


def tops(used: set[str]) -> set[str]:
    return {name.split(".")[0] for name in used}


def unpickling(source: str) -> set[str]:
    """Ways to run code from data: pickle and its kin, ``torch.load``, ``allow_pickle=True``."""
    used = uses(source)
    bad = (tops(used) & UNPICKLERS) | (used & {"torch.load", "torch.save", "torch.jit.load", "numpy.load"})
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and not is_false(node.value):
            bad.add("allow_pickle")
    return bad


def is_false(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


EVERY_FILE = pytest.mark.parametrize("name", NAMES)


def read(name: str) -> str:
    return (ROOT / name).read_text()


def test_there_is_something_to_check() -> None:
    assert {"stream_app/stages/pipeline.py", "flowlib/density.py", "schemas/codecs.py", *FAUST_FILES} <= set(NAMES)


def test_import_contracts_hold() -> None:
    run = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "0 broken" in run.stdout


@EVERY_FILE
def test_clocks_are_read_at_the_edges_only(name: str) -> None:
    if not name.startswith(MAY_READ_CLOCKS):
        assert clocks(uses(read(name))) == set()


@EVERY_FILE
def test_no_global_random_state(name: str) -> None:
    assert chance(uses(read(name))) == set()


@pytest.mark.parametrize("name", [str(path.relative_to(ROOT)) for path in TESTS])
def test_no_test_is_a_lottery(name: str) -> None:
    """Seeds are those of the fixture ``seed``: what fails is what was changed."""
    if name not in MAY_DRAW_SEEDS and "/bench/detect/alibi" not in name:  # that library knows no generators
        assert lotteries(read(name)) == set()


@EVERY_FILE
def test_torch_jit_in_one_file_only(name: str) -> None:
    jit = any(used == "torch.jit" or used.startswith("torch.jit.") for used in uses(read(name)))
    assert jit == (name == "flowlib/engines/torchscript.py")


@EVERY_FILE
def test_pure_rooms_know_no_broker(name: str) -> None:
    used = uses(read(name))
    if name.startswith(PURE):
        assert (
            tops(used) & (BROKER_CLIENTS | {"socket", "requests", "httpx", "asyncio", "threading", "subprocess"})
            == set()
        )
    assert ("faust" in tops(used)) <= (name in FAUST_FILES)
    assert not re.search(r"\bapp\._[a-z]", read(name)) or name in FAUST_FILES, "what Faust keeps to itself"


@EVERY_FILE
def test_nothing_is_unpickled(name: str) -> None:
    assert unpickling(read(name)) == set()


@EVERY_FILE
def test_files_stay_readable(name: str) -> None:
    assert len(read(name).splitlines()) <= LINES_MAX


@EVERY_FILE
def test_the_formatter_is_not_overruled(name: str) -> None:
    assert "fmt: " not in read(name)


@EVERY_FILE
def test_every_module_says_what_it_is(name: str) -> None:
    tree = ast.parse(read(name))
    assert not tree.body or ast.get_docstring(tree)


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "from time import monotonic",
        "import time as t\nx = t.perf_counter",
        "from datetime import datetime\ndatetime.now()",
        "import datetime\ndatetime.datetime.utcnow()",
        "import datetime as dt\ndt.date.today()",
        "def f():\n    from time import time\n    return time()",
    ],
)
def test_the_clock_check_sees_a_clock(source: str) -> None:
    assert clocks(uses(source))


@pytest.mark.parametrize(
    ("source", "bad"),
    [
        ("import numpy as np\nnp.random.rand(3)", True),
        ("import numpy\nnumpy.random.seed(0)", True),
        ("from numpy.random import normal", True),
        ("import numpy.random as r\nr.shuffle([])", True),
        ("import random\nrandom.random()", True),
        ("from random import choice", True),
        ("import numpy as np\nnp.random.default_rng(3).random()", False),
        ("import random\nrandom.Random(3).random()", False),
        ("import numpy as np\ndef f(rng: np.random.Generator): rng.random()", False),
    ],
)
def test_the_chance_check_tells_them_apart(source: str, bad: bool) -> None:
    assert bool(chance(uses(source))) == bad


@pytest.mark.parametrize(
    ("source", "bad"),
    [
        ("import random\nrandom.randrange(10)", True),
        ("import random\nrandom.Random()", True),
        ("import numpy as np\nnp.random.default_rng()", True),
        ("import os\nos.urandom(3)", True),
        ("import random\nrandom.Random(3).randbytes(3)", False),
        ("import numpy as np\nnp.random.default_rng(3)", False),
    ],
)
def test_the_lottery_check_tells_them_apart(source: str, bad: bool) -> None:
    assert bool(lotteries(source)) == bad


@pytest.mark.parametrize(
    ("source", "bad"),
    [
        ("import pickle", True),
        ("from pickle import loads", True),
        ("import torch\ntorch.load('x')", True),
        ("import numpy as np\nnp.load('x')", True),
        ("f(allow_pickle=True)", True),
        ("f(allow_pickle=False)", False),
        ("import msgspec\nmsgspec.msgpack.decode(b'')", False),
    ],
)
def test_the_pickle_check_tells_them_apart(source: str, bad: bool) -> None:
    assert bool(unpickling(source)) == bad


@pytest.mark.parametrize("source", ["import torch\ntorch.jit.script(f)", "from torch import jit", "import torch.jit"])
def test_the_jit_check_sees_it(source: str) -> None:
    assert any(used.startswith("torch.jit") for used in uses(source))
