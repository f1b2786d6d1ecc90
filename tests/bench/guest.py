"""One APDU of 16 bytes on one token in a guest: directly, and by pyscard through libccid.

Emulated in software, so that only the ratio means anything.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from statistics import median

from tests.bench.apdu import COMMAND
from tests.bench.measure import in_turn, line

ROUNDS, RUNS = 3, 100
# The ways cannot share the token, so that only taking them in turn tells them from the hour.
TURNS = 5
_SHARED = ("pyscard", "ushield", "scard")


def run() -> None:
    """Measure and print, each way in every turn: directly, then through pcscd and libccid."""
    from tests.cli.conftest import run as ushield
    from tests.cli.conftest import told
    from tests.kernel.guest import Guest
    from tests.kernel.image import prepare
    from tests.kernel.test_pcsc import Service
    from tests.kernel.tokens import served

    times: dict[str, list[float]] = {way: [] for way in ("usb", *_SHARED)}
    with Guest.boot(prepare()) as guest:
        path = guest.folder / "token"
        told(ushield("--json", "virtual", "create", str(path)))
        with served(guest, path) as plug:

            def seconds(way: str, spec: str) -> float:
                measured = guest.run(sys.executable, "-m", __name__, way, spec, timeout=300)
                assert measured.code == 0, measured
                return float(measured.out)

            for turn in range(TURNS):
                times["usb"].append(seconds("ushield", plug.spec))
                service = Service(guest, plug)
                # Whichever comes later would else profit from what the others had warmed.
                for way in _SHARED if turn % 2 else reversed(_SHARED):
                    times[way].append(seconds(way, service.spec))
                service.end()
    line("pyscard's connection, pcscd, libccid (reference)", median(times["pyscard"]))
    for name, way, bound in (
        ("usb: directly", "usb", " (at most 0.9)"),
        ("pcsc: through pcscd and libccid, with a timeout", "ushield", ""),
        ("SCardTransmit by pyscard's bare wrapper, the same way", "scard", ""),
    ):
        line(name, median(times[way]), _told(times[way], times["pyscard"]) + bound)


def _told(times: list[float], references: list[float]) -> str:
    ratios = [mine / reference for mine, reference in zip(times, references, strict=True)]
    whole = median(times) / median(references)
    return f"{whole:.2f} of the reference; by turn {', '.join(f'{r:.2f}' for r in ratios)}"


def _ushield(spec: str) -> Callable[[], object]:
    from ushield.transport.registry import open_spec

    connection = open_spec(spec)
    raw = COMMAND.encode()
    return lambda: connection.transmit(raw)


def _scard(spec: str) -> Callable[[], object]:
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


def _pyscard(spec: str) -> Callable[[], object]:
    from smartcard.CardConnection import CardConnection
    from smartcard.System import readers

    (reader,) = (one for one in readers() if str(one) == spec.partition(":")[2])
    connection = reader.createConnection()
    connection.connect(CardConnection.T1_protocol)
    raw = list(COMMAND.encode())
    return lambda: connection.transmit(raw)


if __name__ == "__main__":
    subject = {"ushield": _ushield, "pyscard": _pyscard, "scard": _scard}[sys.argv[1]](sys.argv[2])
    print(in_turn({"subject": subject}, rounds=ROUNDS, runs=RUNS)["subject"])
