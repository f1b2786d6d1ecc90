"""Benchmarks, never in the suite: ``python -m tests.bench``, with the names of some, or all.

Each figure stands beside a reference measured in the same run, because a machine's speed drifts.
"""
