"""The reference token's protocol: what its driver and its firmware share.

`docs/protocol.md` is the same in prose. All numbers on the wire are big-endian; structures are
BER-TLV.
"""
