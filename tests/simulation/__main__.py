"""`make simulate`: schedules without end, or for so many seconds, from a seed on.

python -m simulation [--seconds N] [--seed N] [--length N]
"""

from __future__ import annotations

import argparse
import sys
import time

from simulation.schedules import draw, play, tell


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    parser.add_argument("--length", type=int, default=120, help="the longest schedule, in steps")
    options = parser.parse_args()
    began, seed = time.monotonic(), options.seed
    while time.monotonic() - began < options.seconds:
        steps = draw(seed, options.length)
        if play(steps) is not None:
            print(tell(seed, steps))
            print(f"again: --seed {seed} --length {options.length}")
            return 1
        seed += 1
        if not (seed - options.seed) % 1000:
            print(f"{seed - options.seed} schedules, every law holds", file=sys.stderr)
    print(f"{seed - options.seed} schedules from seed {options.seed}: every law holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
