"""The card edge of PIV (NIST SP 800-73-5) and the extensions of it that common tools use."""

from __future__ import annotations
