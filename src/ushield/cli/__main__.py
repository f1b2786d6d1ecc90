"""``python -m ushield.cli`` is the command ``ushield``."""

from __future__ import annotations

from ushield.cli import main

if __name__ == "__main__":
    main()
