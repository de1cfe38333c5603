"""python -m tests.bench.incidents"""

from tests.bench.incidents.run import main

if __name__ == "__main__":
    main()
