"""python -m tests.bench.blind"""

from tests.bench.blind.run import main

if __name__ == "__main__":
    main()
