"""Bytes to a card and back, and events from it."""
