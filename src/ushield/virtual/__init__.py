"""A token without hardware: card, panel, memory and USB device, for tests and for trying out."""
