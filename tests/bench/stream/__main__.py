"""``python -m tests.bench.stream --out stream.json``."""

from tests.bench.stream.run import main

main()
