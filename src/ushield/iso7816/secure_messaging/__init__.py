"""Secure messaging: SCP11b opens the channel, SCP03 carries the messages. Bytes in, bytes out.

Source: GlobalPlatform Card Specification v2.3, Amendment F (SCP11) and Amendment D (SCP03).
"""
