"""Types what the guide says, and watches the clock: commands, keystrokes, questions, seconds until the first incident.

    {"file": {"commands": 2, "keystrokes": …, "questions": 0, "seconds": …, "cpu_s": …, "rows_per_s": …},
     "kafka": {"commands": 3, "keystrokes": …, "questions": 0, "seconds": …}}

``rows_per_s`` is that of a second ``score``, with the model at hand. Without ``KAFKA_HOME`` there is no ``kafka``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.newcomer import live
from tests.bench.newcomer.prices import write_prices

_RATE = re.compile(r", ([\d,]+) a second")
_INCIDENT = re.compile(r"^\d[\d,]* incidents?, ", re.MULTILINE)
DRIFTFLOW = Path(sys.executable).with_name("driftflow")


@dataclass
class Typed:
    """What a newcomer has typed in a folder."""

    folder: Path
    lines: list[str] = field(default_factory=list)
    questions: int = 0

    def begin(self, line: str) -> subprocess.Popen[bytes]:
        """Type a line; its process, which prints into a file of its own."""
        self.lines.append(line)
        words = [str(DRIFTFLOW), *shlex.split(line)[1:]]
        with self.log(line).open("wb") as log:
            return subprocess.Popen(
                words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def log(self, line: str) -> Path:
        """What a line has printed."""
        return self.folder / f"{self.lines.index(line)}.log"

    def run(self, line: str) -> str:
        """Type a line and wait; what it has printed. It ends well, or this does not."""
        status = self.begin(line).wait()
        printed = self.log(line).read_text()
        self.questions += printed.count("?  (")
        if status not in (0, 3):
            raise SystemExit(f"{line}: status {status}\n{printed}")
        return printed

    def figures(self, seconds: float) -> dict[str, Any]:
        """Plain values."""
        return {
            "commands": len(self.lines),
            "keystrokes": sum(len(line) + 1 for line in self.lines),
            "questions": self.questions,
            "seconds": round(seconds, 1),
        }


def on_a_file(folder: Path, data: Path | None) -> dict[str, Any]:
    """From a file to the first incident."""
    write_prices(folder / "prices.jsonl", data)
    typed, before, start = Typed(folder), _cpu_s(), time.monotonic()
    typed.run("driftflow init --from-file prices.jsonl --yes")
    printed = typed.run("driftflow score prices.jsonl")
    seconds, cpu_s = time.monotonic() - start, _cpu_s() - before
    if not _INCIDENT.search(printed):
        raise SystemExit(f"no incident was told:\n{printed}")
    found = typed.figures(seconds) | {"cpu_s": round(cpu_s, 1)}
    again = _RATE.search(Typed(folder).run("driftflow score prices.jsonl"))
    return found | {"rows_per_s": int(again[1].replace(",", "")) if again else 0}


def _cpu_s() -> float:
    of = resource.getrusage(resource.RUSAGE_CHILDREN)
    return of.ru_utime + of.ru_stime


def main() -> None:
    """Measure both ways, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder with bench/elec2.csv.gz; else a file of its shape is made")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="driftflow-newcomer-") as folder:
        figures = {"file": on_a_file(Path(folder), options.data)}
    print(figures, flush=True)
    if os.environ.get("KAFKA_HOME"):
        with tempfile.TemporaryDirectory(prefix="driftflow-newcomer-") as folder:
            figures["kafka"] = live.on_kafka(Typed(Path(folder)), options.data)
    options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))
