"""For integration tests: a token without hardware, its panel, its clock, and faults to order.

Installed with the package as a pytest plugin; ``docs/testing.md`` shows its fixtures.
"""
