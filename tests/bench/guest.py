"""One APDU of 16 bytes on one token in a guest: directly, and by pyscard through libccid.

Emulated in software, so that only the ratio means anything.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from tests.bench.apdu import COMMAND
from tests.bench.measure import in_turn, line

ROUNDS, RUNS = 5, 100


def run() -> None:
    """Measure and print: directly, through pcscd, and directly again."""
    from tests.cli.conftest import run as ushield
    from tests.cli.conftest import told
    from tests.kernel.guest import Guest
    from tests.kernel.image import prepare
    from tests.kernel.test_pcsc import Service
    from tests.kernel.tokens import served

    with Guest.boot(prepare()) as guest:
        path = guest.folder / "token"
        told(ushield("--json", "virtual", "create", str(path)))
        with served(guest, path) as plug:

            def seconds(way: str, spec: str) -> float:
                measured = guest.run(sys.executable, "-m", __name__, way, spec, timeout=300)
                assert measured.code == 0, measured
                return float(measured.out)

            before = seconds("direct", plug.spec)
            service = Service(guest, plug)
            pyscard = seconds("pyscard", service.spec)
            ours = seconds("direct", service.spec)
            service.end()
            after = seconds("direct", plug.spec)
    direct = (before + after) / 2
    line("pyscard, pcscd and libccid (reference)", pyscard)
    line("usb: directly", direct, f"{direct / pyscard:.2f} of the reference (at most 0.9)")
    line("pcsc: through pcscd and libccid, with a timeout", ours, f"{ours / pyscard:.2f} of it")


def _direct(spec: str) -> Callable[[], object]:
    from ushield.transport.registry import open_spec

    connection = open_spec(spec)
    raw = COMMAND.encode()
    return lambda: connection.transmit(raw)


def _pyscard(spec: str) -> Callable[[], object]:
    from smartcard import scard

    _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    share, t1 = scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_PROTOCOL_T1
    _, handle, _ = scard.SCardConnect(context, spec.partition(":")[2], share, t1)
    raw = list(COMMAND.encode())

    def transmit() -> None:
        code, answer = scard.SCardTransmit(handle, scard.SCARD_PCI_T1, raw)
        assert code == 0
        assert len(answer) == 2

    return transmit


if __name__ == "__main__":
    subject = {"direct": _direct, "pyscard": _pyscard}[sys.argv[1]](sys.argv[2])
    print(in_turn({"subject": subject}, rounds=ROUNDS, runs=RUNS)["subject"])
