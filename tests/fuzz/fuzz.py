"""The coverage-guided fuzzer (atheris, libFuzzer) over every parser; see `scripts/fuzz`.

    python -m tests.fuzz.fuzz                 every target in turn, FUZZ_SECONDS in all (60)
    python -m tests.fuzz.fuzz NAME [ARG…]     one target; arguments are libFuzzer's

What is found is kept under build/fuzz/NAME: the growing corpus, and what broke something.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

SECONDS_OF_ONE: Final = 5
"""An input that takes longer has hung."""
FOLDER: Final = Path("build/fuzz")


def main(argv: list[str]) -> int:
    if argv:
        return _fuzz(argv[0], argv[1:])
    from tests.fuzz.targets import MOST_MEMORY, TARGETS

    seconds = max(1, int(os.environ.get("FUZZ_SECONDS", "60")) // len(TARGETS))
    broken = []
    for name in TARGETS:
        folder = FOLDER / name
        (folder / "corpus").mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "tests.fuzz.fuzz", name, str(folder / "corpus")),
            *(f"-max_total_time={seconds}", f"-timeout={SECONDS_OF_ONE}", "-max_len=8192"),
            *(f"-rss_limit_mb={MOST_MEMORY >> 20}", f"-artifact_prefix={folder}/broken-"),
            *("-print_final_stats=1", "-verbosity=0"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        counts = [line for line in done.stderr.splitlines() if line.startswith("stat::")]
        numbers = dict(line.removeprefix("stat::").split(":") for line in counts)
        runs = numbers.get("number_of_executed_units", "?").strip()
        memory = numbers.get("peak_rss_mb", "?").strip()
        print(f"{name:12} {runs:>9} inputs in {seconds} s, at most {memory} MiB", flush=True)
        if done.returncode:
            broken.append(name)
            print(done.stderr[-3000:], flush=True)
    return 1 if broken else 0


def _fuzz(name: str, arguments: list[str]) -> int:
    import atheris

    with atheris.instrument_imports(include=["xend"]):
        from tests.fuzz.targets import corpus, survives

    folder = Path(arguments[0])
    if not arguments[0].startswith("-") and not any(folder.iterdir()):
        for number, data in enumerate(corpus(name)):
            (folder / f"seed-{number}").write_bytes(data)
    atheris.Setup([sys.argv[0], *arguments], lambda data: survives(name, data))
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
