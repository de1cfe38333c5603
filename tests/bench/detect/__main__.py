"""python -m tests.bench.detect"""

from tests.bench.detect.run import main

if __name__ == "__main__":
    main()
