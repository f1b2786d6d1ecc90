"""CCID readers without any I/O: messages, class descriptor, T=0, T=1, and a reader's state.

`CcidReader` is the host's side; `ushield.ccid.messages`, `commands` and `responses` serve a virtual
device too. Sources: USB Device Class Specification for Integrated Circuit(s) Cards Interface
Devices, Rev 1.1; ISO/IEC 7816-3:2006.
"""

from ushield.ccid.atr import Atr
from ushield.ccid.channel import Quirks
from ushield.ccid.descriptor import ClassDescriptor, ExchangeLevel, Feature, VoltageClass
from ushield.ccid.messages import IccStatus
from ushield.ccid.notify import HardwareError, SlotChange, SlotState
from ushield.ccid.reader import CcidReader, ExchangeLimits
from ushield.ccid.steps import ClearHalt, Control, Program, Receive, Send, Step

__all__ = [
    "Atr",
    "CcidReader",
    "ClassDescriptor",
    "ClearHalt",
    "Control",
    "ExchangeLevel",
    "ExchangeLimits",
    "Feature",
    "HardwareError",
    "IccStatus",
    "Program",
    "Quirks",
    "Receive",
    "Send",
    "SlotChange",
    "SlotState",
    "Step",
    "VoltageClass",
]
