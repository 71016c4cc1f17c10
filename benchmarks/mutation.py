# SPDX-License-Identifier: Apache-2.0
"""How many small faults in depth_recog/method do the unit tests of that folder find?

make mutants                                                 # every mutant: hours
python benchmarks/mutation.py [--sample 300] [--seed 0] [--children 2] [--json FILE]

mutmut (extra `mutation`; its settings are in pyproject.toml) changes one place of a function at a
time, and runs the tests of test/unit/method that reach the function. A mutant is killed where a
test fails, or where the tests take several times as long as usual (`timeout`). A sample takes the
same share of every module, drawn with the seed; its score has a 95 % interval (Wilson). The names
of the survivors are printed; `mutmut show NAME` shows the change.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from math import sqrt
from typing import Any

from common import ROOT, parser_of, report

MUTMUT = [sys.executable, "-m", "mutmut"]
PACKAGE = "depth_recog.method."
QUICKEST = f"{PACKAGE}pose.estimator.*"
KILLED, SURVIVED = ("killed", "timeout", "segfault"), ("survived", "no tests")


def run(names: Sequence[str], children: int) -> None:
    """Run mutants by name or pattern; it makes all mutants first, and finds each one's tests."""
    command = [*MUTMUT, "run", "--max-children", str(children), *names]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)


def statuses() -> dict[str, str]:
    """The status of every mutant by its name."""
    command = [*MUTMUT, "results", "--all", "true"]
    found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    lines = (line.strip().rpartition(": ") for line in found.stdout.splitlines())
    return {name: status for name, _, status in lines if name.startswith(PACKAGE)}


def module_of(name: str) -> str:
    """The module of a mutant, within depth_recog.method: gate.ground."""
    return name.removeprefix(PACKAGE).partition(".x")[0]


def sampled(names: Sequence[str], count: int, seed: int) -> list[str]:
    """The same share of every module's mutants, at least one, drawn with a seed."""
    by_module = defaultdict(list)
    for name in sorted(names):
        by_module[module_of(name)].append(name)
    chance, share = random.Random(seed), Fraction(count, len(names))
    chosen = []
    for module in sorted(by_module):
        mutants = by_module[module]
        chosen += chance.sample(mutants, min(len(mutants), max(1, round(share * len(mutants)))))
    return chosen


def interval(hits: int, count: int) -> dict[str, float]:
    """A share with its 95 % confidence interval.

    Source: Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    z, share = 1.96, hits / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return {"value": share, "low": middle - half, "high": middle + half}


def row(module: str, found: Sequence[str], total: int) -> dict[str, Any]:
    """The counts of a module, and the share of its tested mutants that were killed."""
    counts = Counter(found)
    killed, survived = (sum(counts[s] for s in group) for group in (KILLED, SURVIVED))
    return {
        "module": module,
        "mutants": total,
        "tested": killed + survived,
        **{status: counts[status] for status in (*KILLED, *SURVIVED)},
        "not tested": len(found) - killed - survived,
        "score": interval(killed, killed + survived) if killed + survived else None,
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sample", type=int, default=0, help="how many mutants; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--children", type=int, default=1, help="processes that run tests at once")
    options = parser.parse_args()
    names: Sequence[str] = ()
    if options.sample:
        run([QUICKEST], options.children)
        names = sampled(list(statuses()), options.sample, options.seed)
    run(names, options.children)
    found = statuses()
    totals = Counter(map(module_of, found))
    results = {name: found[name] for name in names or found}
    by_module = defaultdict(list)
    for name, status in results.items():
        by_module[module_of(name)].append(status)
    rows = [row(module, by_module[module], totals[module]) for module in sorted(by_module)]
    rows.append(row("all", list(results.values()), len(found)))
    survivors = [{"survivor": name} for name, status in results.items() if status in SURVIVED]
    report(options, {"modules": rows, "survivors": survivors})


if __name__ == "__main__":
    main()
