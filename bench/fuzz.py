"""Hostile bytes at every door for as long as you like, guided by what code they reach.

    python -m bench.fuzz [--seconds 600] [--seed N] [--plain] [TARGET ...]    the targets share the seconds
    python -m bench.fuzz --replay FILE TARGET                                 one input again

The targets and what may leave them are those of `tests/fuzz/targets.py`. With atheris (the extra `fuzz`)
inputs grow by coverage; without it, or with `--plain`, they are the suite's seeded mutations. Each different
finding is told once, kept in a file and printed in hex, for a named test. Exit 1 where there was any.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

GUIDED = importlib.util.find_spec("atheris") is not None
NOISE = (b"INFO:", b"WARNING: Failed to find", b"###", b'"', b"stat::peak", b"stat::slow", b"stat::average")
"""Lines of libFuzzer's that tell nothing."""

SLOW = 10.0
"""Seconds for one input that count as a finding."""


class Findings:
    """What a target let out: each kind, by its exception and the line it left, is told and kept once."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.runs = 0
        self._kinds: set[tuple[str, ...]] = set()

    def run(self, data: bytes) -> None:
        from fuzz.targets import targets

        self.runs += 1
        began = time.monotonic()
        try:
            targets()[self.name].run(data)
            if time.monotonic() - began > SLOW:
                raise TimeoutError(f"took {time.monotonic() - began:.0f} s")
        except Exception as error:
            self._take(data, error)

    def _take(self, data: bytes, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        kind = (type(error).__name__, *(f"{f.filename}:{f.lineno}" for f in frames[-1:]))
        if kind in self._kinds:
            return
        self._kinds.add(kind)
        kept = self.folder / f"{self.name}-{len(self._kinds)}"
        kept.write_bytes(data)
        last = "".join(traceback.format_exception(error)[-7:]).rstrip()
        print(f"FOUND by {self.name}, kept as {kept}:\n{last}\n  hex: {data.hex()[:4000]}", flush=True)


def run_plainly(name: str, seconds: float, seed: int, findings: Findings) -> None:
    from fuzz.mutate import mutate
    from fuzz.targets import targets

    target = targets()[name]
    end = time.monotonic() + seconds
    for data in target.seeds:
        findings.run(data)
    turn = 0
    while time.monotonic() < end:
        findings.run(mutate(random.Random(f"{seed} {name} {turn}"), target.seeds, target.words))
        turn += 1
    print(f"{name}: {findings.runs} inputs", flush=True)


def run_guided(name: str, seconds: float, seed: int, findings: Findings) -> None:
    """Ends the process."""
    import atheris

    with atheris.instrument_imports(include=["zkdns", "dns", "tomllib"]):
        from fuzz.targets import targets

        target = targets()[name]
        for data in target.seeds:  # what is imported at first use must be instrumented too
            findings.run(data)
    corpus = findings.folder / f"corpus-{name}"
    corpus.mkdir(exist_ok=True)
    for at, data in enumerate(target.seeds):
        (corpus / f"seed-{at}").write_bytes(data)
    words = findings.folder / f"{name}.dict"
    words.write_text("".join(f'"{_escape(word)}"\n' for word in target.words if word), encoding="ascii")
    options = {
        "dict": words,
        "max_total_time": max(1, round(seconds)),
        "seed": seed,
        "max_len": 8192,
        "timeout": round(2 * SLOW),
        "artifact_prefix": f"{findings.folder}/{name}-",
        "verbosity": 0,
        "print_final_stats": 1,
    }
    flags = [f"-{option}={value}" for option, value in options.items()]
    atheris.Setup([sys.argv[0], str(corpus), *flags], findings.run)
    atheris.Fuzz()


def _escape(word: bytes) -> str:
    return "".join(f"\\x{b:02x}" for b in word[:60])


def main() -> int:
    from fuzz.mutate import NAMES

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    parser.add_argument("--plain", action="store_true", help="seeded mutations, though atheris is there")
    parser.add_argument("--replay", type=Path)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    for name in given.targets:
        if name not in NAMES:
            parser.error(f"no target {name!r}; there are {', '.join(NAMES)}")
    if given.replay:
        from fuzz.targets import targets

        for name in given.targets:
            targets()[name].run(given.replay.read_bytes())
        return 0
    if given.folder:
        (name,) = given.targets
        run = run_plainly if given.plain else run_guided
        run(name, given.seconds, given.seed, Findings(name, given.folder))
        return 0
    return share(given.targets or list(NAMES), given.seconds, given.seed, given.plain or not GUIDED)


def share(names: list[str], seconds: float, seed: int, plain: bool) -> int:
    """Each target in a process of its own: what is instrumented, or killed by its input, is that one."""
    folder = Path(tempfile.mkdtemp(prefix="zkdns-fuzz-"))
    how = "seeded mutations" if plain else "guided by coverage"
    print(
        f"seed {seed}; {how}; {len(names)} targets of {seconds / len(names):.0f} s; findings go to {folder}"
    )
    failed = []
    for name in names:
        print(f"--- {name}", flush=True)
        command = [sys.executable, "-m", "bench.fuzz", name, "--folder", str(folder), "--seed", str(seed)]
        command += ["--seconds", str(seconds / len(names)), *(["--plain"] if plain else [])]
        with subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as run:
            assert run.stdout is not None
            for line in run.stdout:
                if not line.startswith(NOISE):
                    print(line.decode("utf-8", "replace"), end="", flush=True)
        ended = run.returncode
        if ended or list(folder.glob(f"{name}-*")):
            failed.append(name)
    if failed:
        print(f"found something: {', '.join(failed)}; kept in {folder}")
        return 1
    shutil.rmtree(folder)  # what its inputs grew to is of use to nobody who found nothing
    print("nothing was found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
