"""Where the bank keeps customers, challenges and its audit log: SQLite, or PostgreSQL.

Needs the extra ``bank``, and ``postgresql`` for that; nothing else of `ushield.bank` does.
"""
