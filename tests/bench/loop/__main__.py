"""``python -m tests.bench.loop --out loop.json``."""

from tests.bench.loop.run import main

if __name__ == "__main__":
    main()
