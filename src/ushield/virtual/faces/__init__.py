"""Ways in which others meet a virtual token: a kernel over USB/IP, another process at its panel."""

from __future__ import annotations
