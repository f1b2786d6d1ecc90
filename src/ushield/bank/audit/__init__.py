"""What the bank decided, written down by the transaction that did it, and sealed afterwards."""
