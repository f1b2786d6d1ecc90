"""Benchmarks: ``python -m tests.bench [apdu] [signature] [startup] [soak]``, never in the suite.

Each figure stands beside a reference measured in the same run, because a machine's speed drifts.
"""
