"""``python -m tests.bench.faults --out faults.json``."""

from tests.bench.faults.run import main

main()
