"""Damaged files of every kind that is read back: a typed error or what was written, nothing else.

    python benchmarks/fuzz_loaders.py --cases 12000

Each case changes bytes, JSON values or tensor headers of one file, half of them with all checksums
put right again, as someone would who means harm, and loads it in a child process with limits on
memory and time. Malicious pickles stand in place of every file as well. Wrong are other exceptions,
crashes, hangs, huge memory, executed code, and altered content that is taken for whole where a
checksum stands over it. Cases follow from their seeds: `--seed` and `--only` repeat some of them.
A kind of file that has a row in the file of `--out` is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the specimens are those of the tests

import torch  # noqa: E402  # behind the path

from parrot_wrapper.evaluation.report import markdown_table  # noqa: E402
from parrot_wrapper.io.atomic_files import write_json  # noqa: E402
from tests.loaders.cases import SECONDS, Outcome, Target  # noqa: E402
from tests.loaders.specimens import Specimen, make_specimens  # noqa: E402

BATCH = 250
ADDRESS_SPACE = 6 * 2**30


def in_child(work: Callable[[], list[Outcome]], result: Path) -> int:
    """Do `work` in a forked process with limits, its outcomes in a file; the exit status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with result.open("a", encoding="utf-8") as stream:
            for outcome in work():
                stream.write(json.dumps(asdict(outcome)) + "\n")
    finally:
        os._exit(0 if sys.exc_info()[0] is None else 1)
    return 0


def outcomes(target: Target, seeds: Sequence[int], folder: Path) -> list[Outcome]:
    """Of the cases with these seeds, and of all pickles with the first batch."""
    result = folder / "outcomes.jsonl"
    result.unlink(missing_ok=True)
    found: list[Outcome] = []

    def work() -> list[Outcome]:
        resource.setrlimit(resource.RLIMIT_CPU, (600, 600))
        return [*(target.explode() if first else []), *map(target.mutate, seeds[start:stop])]

    for start in range(0, len(seeds), BATCH):
        stop, first = start + BATCH, start == 0
        status = in_child(work, result)
        if status:
            how = f"cases {seeds[start]} ... {seeds[stop - 1 : stop] or seeds[-1]}"
            found.append(Outcome(target.specimen.name, seeds[start], how, f"died: {status}", False))
    if result.exists():
        lines = result.read_text(encoding="utf-8").splitlines()
        found += [Outcome(**json.loads(line)) for line in lines]
    return found


def row_of(specimen: Specimen, found: Sequence[Outcome]) -> dict[str, Any]:
    """Counts of one kind, and all that was wrong."""
    kinds = Counter(o.result for o in found if o.good)
    return {
        "kind": specimen.name,
        "files": len(specimen.files()),
        "cases": len(found),
        "refused": kinds["refused"],
        "same": kinds["same"],
        "other": kinds["other"],
        "wrong": [asdict(o) for o in found if not o.good],
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """All kinds and their sum in Markdown."""
    names = ("files", "cases", "refused", "same", "other")
    cells = [[r["kind"], *(str(r[n]) for n in names), str(len(r["wrong"]))] for r in rows]
    total = [str(sum(r[n] for r in rows)) for n in names]
    wrong = str(sum(len(r["wrong"]) for r in rows))
    header = ["kind", "files", "cases", "refused", "read as written", "read as other", "wrong"]
    return markdown_table(header, [*cells, ["all", *total, wrong]])


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz, print the table; 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=12_000, help="of all kinds together")
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    parser.add_argument("--only", default="", help="one kind")
    parser.add_argument("--out", type=Path, help="JSON file of the results")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of numbers out of range, in cases by the thousand
    known = json.loads(args.out.read_text()) if args.out and args.out.exists() else []
    rows = {row["kind"]: row for row in known}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        specimens = make_specimens(root)
        parts = [p.read_bytes() for specimen in specimens for p in specimen.files()]
        for specimen in specimens:
            if specimen.name in rows or args.only not in ("", specimen.name):
                continue
            target = Target(specimen, root / "executed", parts)
            count = args.cases if args.only else -(-args.cases // len(specimens))
            found = outcomes(target, range(args.seed, args.seed + count), root)
            rows[specimen.name] = row_of(specimen, found)
            if args.out:
                write_json(args.out, list(rows.values()))
    print(table(list(rows.values())))
    for row in rows.values():
        for outcome in row["wrong"][:20]:
            print(json.dumps(outcome))
    print(f"Limits: {SECONDS:.0f} s a case, {ADDRESS_SPACE / 2**30:.0f} GiB of addresses.")
    return int(any(row["wrong"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
