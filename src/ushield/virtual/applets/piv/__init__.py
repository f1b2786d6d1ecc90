"""The PIV application of a virtual token, beside the shield applet on the same card.

PIN and PUK are the token's, with their counters; keys and objects are its own, in tables of their
own, and nothing here reads the shield applet's keys.
"""

from __future__ import annotations
