"""The vendor layer: one module a token family, profiles as data."""
