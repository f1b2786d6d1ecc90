"""One token on a real kernel's USB, which pcscd and libccid see, too."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from tests.cli.conftest import Enrolled
from tests.clients.conftest import INSTALL, debian_version
from tests.drivers.bench import issue
from tests.kernel.conftest import MakeEnrolled
from tests.kernel.guest import Guest, Running
from tests.kernel.test_usbip import accepted, signing
from tests.kernel.tokens import Plug, served
from ushield.algorithms import KeyAlgorithm
from ushield.drivers.base import KeyOptions, KeyUsage
from ushield.drivers.piv import PivDriver
from ushield.drivers.setup import LIBCCID_LIST, libccid_list, udev_rules
from ushield.pin import KnownManagementKey
from ushield.virtual.scheme import SCHEME as VIRTUAL

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]

DRIVER = Path("/usr/lib/pcsc/drivers/ifd-ccid.bundle")


@pytest.fixture(scope="module")
def enrolled(enrol: MakeEnrolled) -> Enrolled:
    """A token with a key for payments, and one of PIV with its certificate in 9A."""
    made = enrol()
    driver = PivDriver.probe(VIRTUAL.open(str(made.path)))
    assert driver is not None
    driver.prove_management_key(KnownManagementKey.DEFAULT)
    place = KeyOptions(place="9a")
    key = driver.generate_key(KeyAlgorithm.P256, KeyUsage.AUTHENTICATION, "", place)
    driver.write_certificate(issue(key.public_key), "")
    driver.close()
    (made.folder / "9a.pub").write_bytes(
        load_der_public_key(key.public_key).public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
    )
    return made


@pytest.fixture(scope="module")
def plug(guest: Guest, enrolled: Enrolled) -> Iterator[Plug]:
    if not DRIVER.exists():
        pytest.skip(f"no libccid here; apt-get install libccid; {INSTALL}")
    with served(guest, enrolled.path) as plugged:
        yield plugged


class Service:
    """pcscd in the guest, with libccid and the list that `libccid_list` made of its own."""

    def __init__(self, guest: Guest, plug: Plug) -> None:
        self.guest = guest
        self.plug = plug
        # Without the readers that this machine's own pcscd is configured with.
        self.configuration = guest.folder / "reader.conf.d"
        self.configuration.mkdir(exist_ok=True)
        made = guest.folder / "Info.plist"
        made.write_bytes(libccid_list(LIBCCID_LIST.read_bytes()))
        assert guest.run("cp", str(made), str(LIBCCID_LIST)).code == 0
        self.start()

    def start(self) -> None:
        self.running: Running = self.guest.start(
            "pcscd", "--foreground", "--config", str(self.configuration)
        )
        self.spec = self.wait()

    def wait(self) -> str:
        """Wait until it has the card; what it is called."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for device in self.guest.ushield("list").told()["devices"]:
                if device["also"] and not device["empty"]:
                    spec: str = device["also"][0]
                    return spec
            time.sleep(0.2)
        raise AssertionError(f"pcscd does not see the token: {self.guest.ushield('list')}")

    def end(self) -> None:
        self.guest.run("kill", str(self.running.pid))
        self.running.wait()


@pytest.fixture(scope="module")
def pcscd(guest: Guest, plug: Plug) -> Iterator[Service]:
    service = Service(guest, plug)
    yield service
    service.end()


def test_udev_gives_the_token_to_the_person_at_the_machine(guest: Guest, plug: Plug) -> None:
    if shutil.which("udevadm") is None:
        pytest.skip("no udevadm here; apt-get install udev")
    rules = guest.folder / "70-ushield.rules"
    rules.write_text(udev_rules())
    place = "/run/udev/rules.d"
    assert guest.run("mkdir", "-p", place).code == 0
    assert guest.run("cp", str(rules), place).code == 0
    tested = guest.run("udevadm", "test", "--action=add", f"/sys/bus/usb/devices/{plug.place}")
    guest.run("rm", "-rf", "/run/udev")
    told = tested.out + tested.err
    assert tested.code == 0, told
    assert "70-ushield.rules:" not in told, told
    assert "ID_SMARTCARD_READER=1" in told
    assert "uaccess" in told


def test_a_token_that_pcscd_has_is_listed_once_and_opened_through_it(
    guest: Guest, plug: Plug, pcscd: Service
) -> None:
    for package in ("pcscd", "libccid"):
        print(f"with {package} {debian_version(package)}")
    (device,) = guest.ushield("list").told()["devices"]
    assert device["spec"] == plug.spec
    assert device["also"] == [pcscd.spec]
    assert device["holder"]["program"] == "pcscd"
    assert device["driver"] == "shield"
    for named in ((), ("--token", plug.serial), ("--token", pcscd.spec)):
        told = guest.ushield(*named, "info").told()
        assert told["serial"] == plug.serial
    direct = guest.ushield("--token", plug.spec, "info")
    assert direct.code == 12
    error = direct.told()["error"]
    assert error["facts"]["program"] == "pcscd"
    assert "systemctl stop pcscd.socket" in error["remedy"]


def test_a_payment_is_signed_through_libccid(
    plug: Plug, pcscd: Service, enrolled: Enrolled
) -> None:
    paying = plug.guest.start("ushield", "--json", *signing(enrolled, "pcsc.p7s"))
    assert "张三" in "".join(plug.confirm())
    paid = paying.wait()
    assert paid.code == 0, paid
    accepted(enrolled.folder / "pcsc.p7s", enrolled.ca)


def test_opensc_finds_the_key_logs_in_signs_and_tells_of_a_wrong_pin(
    guest: Guest, pcscd: Service, enrolled: Enrolled
) -> None:
    print(f"with opensc {debian_version('opensc')}")
    data, signature = enrolled.folder / "data", enrolled.folder / "opensc.signature"
    data.write_bytes(b"what is signed" * 100)
    tool = ("pkcs11-tool", "--login", "--pin")
    assert "ushield shield token" in guest.run("opensc-tool", "--list-readers").out
    wrong = guest.run(*tool, "908172", "-O")
    assert "CKR_PIN_INCORRECT" in wrong.out + wrong.err
    listed = guest.run(*tool, enrolled.pin, "-O").out
    assert "Private Key Object; EC" in listed
    assert "Certificate Object" in listed
    how = ("--id", "01", "--mechanism", "ECDSA-SHA256", "--signature-format", "openssl")
    signed = guest.run(*tool, enrolled.pin, "--sign", *how, "-i", str(data), "-o", str(signature))
    assert signed.code == 0, signed
    key = load_pem_public_key((enrolled.folder / "9a.pub").read_bytes())
    assert isinstance(key, EllipticCurvePublicKey)
    key.verify(signature.read_bytes(), data.read_bytes(), ECDSA(SHA256()))


def test_a_token_pulled_out_of_pcscd_while_it_asks_is_told(
    plug: Plug, pcscd: Service, enrolled: Enrolled
) -> None:
    asking = plug.guest.start("ushield", "--json", *signing(enrolled, "pulled.p7s"))
    plug.request_shown()
    plug.detach()
    ended = asking.wait()
    assert ended.code == 13, ended
    # pcscd hears of plugs from udev, which does not run there.
    pcscd.end()
    plug.attach()
    pcscd.start()
    assert plug.guest.ushield("info").code == 0


def test_once_pcscd_has_ended_the_token_is_had_directly(
    guest: Guest, plug: Plug, pcscd: Service
) -> None:
    pcscd.end()
    try:
        (device,) = guest.ushield("list").told()["devices"]
        assert (device["spec"], device["also"], device["holder"]) == (plug.spec, [], None)
        assert guest.ushield("info").told()["serial"] == plug.serial
    finally:
        pcscd.start()
