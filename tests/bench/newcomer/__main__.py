"""``python -m tests.bench.newcomer --out newcomer.json``."""

from tests.bench.newcomer.run import main

if __name__ == "__main__":
    main()
