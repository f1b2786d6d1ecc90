"""Fuzz one target with atheris: ``python -m tests.fuzz TARGET [--seconds N]``.

Stops at the first finding, whose input is kept beside the working corpus. With ``--replay`` it runs
the files that are named, without atheris.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.target import CORPUS, NAMES, load

_RSS_LIMIT = 1024
_STUCK = 30


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=60, help="0 for no end (default: 60)")
    parser.add_argument(
        "--work", type=Path, default=Path("build/fuzz"), help="where corpus and findings go"
    )
    parser.add_argument("--replay", type=Path, nargs="+", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.replay:
        try:
            inputs = [path.read_bytes() for path in arguments.replay]
        except OSError as error:
            parser.error(f"{error.filename}: {error.strerror}")
        for data in inputs:
            load(arguments.target).check(data)
        return
    _fuzz(arguments.target, arguments.seconds, arguments.work / arguments.target)


def _fuzz(name: str, seconds: int, work: Path) -> None:
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not here: pip install 'ushield[fuzz,test]'")
    with atheris.instrument_imports(include=["ushield"]):
        target = load(name)
    # What is imported lazily only now is read by the fuzzer as well.
    with atheris.instrument_imports(include=["ushield"]):
        seeds = list(target.seeds())
        for seed in seeds:
            target.check(seed)
    made, found, findings = work / "seeds", work / "corpus", work / "findings"
    for folder in (made, found, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for old in made.iterdir():
        old.unlink()
    for index, seed in enumerate(seeds):
        (made / f"{index:04}").write_bytes(seed)
    dictionary = work / "words"
    dictionary.write_text("".join(map(_quoted, target.words)))
    folders = [found, made, *([CORPUS / name] if (CORPUS / name).is_dir() else [])]
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            f"-max_len={target.max_length}",
            f"-timeout={_STUCK}",
            f"-rss_limit_mb={_RSS_LIMIT}",
            f"-artifact_prefix={findings}/",
            *([f"-dict={dictionary}"] if target.words else []),
            "-len_control=20",
            "-print_final_stats=1",
            *map(str, folders),
        ],
        target.check,
    )
    atheris.Fuzz()


def _quoted(word: bytes) -> str:
    return '"' + "".join(f"\\x{octet:02X}" for octet in word) + '"\n'


if __name__ == "__main__":
    main()
