"""Benchmarks, never in the suite: ``python -m tests.bench [apdu] [channel] [signature] [startup]``.

Each figure stands beside a reference measured in the same run, because a machine's speed drifts.
"""
