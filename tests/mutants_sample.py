"""Tries mutants of the copy that `./dev mutants` has made, all or a sample, and counts those that its tests notice.

    python tests/mutants_sample.py [SIZE [NAME ...]]

SIZE 0 is all of them. A sample is drawn by a fixed seed from all mutants of the folder, whichever tests reach them. It fails
where so few are noticed as would be in at most 5 % of samples if the folder's tests noticed 90 % of all.
"""

from __future__ import annotations

import math
import random
import sys

GOAL = 0.90
SURE = 0.05
SEED = 1


def fewest(size: int) -> int:
    """The fewest of a sample that may be noticed."""
    below, count = 0.0, -1
    while below <= SURE:
        count += 1
        below += math.comb(size, count) * GOAL**count * (1 - GOAL) ** (size - count)
    return count


def main() -> int:
    """Try them and print each that was not noticed, and the share of the others."""
    import mutmut.__main__ as mutmut

    size, names = int(sys.argv[1]) if len(sys.argv) > 1 else 0, sys.argv[2:]
    all_of = mutmut.collect_source_file_mutation_data
    chosen = []

    def collect(*, mutant_names):
        mutants, data = all_of(mutant_names=names)
        mutants = sorted(mutants, key=lambda one: one[1])
        if size:
            mutants = random.Random(SEED).sample(mutants, min(size, len(mutants)))
        chosen[:] = [(file, name) for file, name, _ in mutants]
        return mutants, data

    mutmut.collect_source_file_mutation_data = collect
    mutmut._run((), 1)
    states = {name: mutmut.status_by_exit_code[file.exit_code_by_key[name]] for file, name in chosen}
    for name, state in sorted(states.items()):
        if state in ("survived", "no tests", "not checked"):
            print(f"    {name}: {state}")
    noticed = sum(state not in ("survived", "no tests", "not checked") for state in states.values())
    print(f"{noticed} of {len(states)} mutants are noticed ({noticed / len(states):.0%})")
    if size and noticed < fewest(len(states)):
        print(f"the goal is {GOAL:.0%}: at least {fewest(len(states))} of a sample of this size", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
