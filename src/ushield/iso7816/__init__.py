"""The language of smart cards: APDUs, status words and BER-TLV (ISO/IEC 7816-4)."""
