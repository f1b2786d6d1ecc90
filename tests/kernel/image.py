"""A kernel to boot, and the little root it starts from: made once for each machine.

``python -m tests.kernel.image`` makes them, and says what is missing.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["CACHE", "Image", "ImageFailed", "missing_tools", "prepare"]

CACHE: Final = Path(f"/var/tmp/ushield-kernel-{os.geteuid()}")
_LAYOUT: Final = 3
"""Raised when what `prepare` makes changes, so that an older image is not used."""

_TOOLS: Final = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "modprobe": "kmod",
    "cpio": "cpio",
    "usbip": "usbip",
    "openssl": "openssl",
}

_MODULES: Final = (
    *("virtio_pci", "virtio_rng", "virtio_net", "9pnet_virtio", "9p", "overlay", "vhci_hcd"),
    "xhci_pci",
)

# The host's file tree, as it is, is the guest's root; what the guest writes is kept in memory, but
# for the directory that it shares with the test run.
_INIT: Final = """\
#!/bin/busybox sh
export PATH=/sbin:/bin
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
for word in $(cat /proc/cmdline); do
    case $word in exchange=*) exchange=${word#exchange=} ;; esac
done
while read -r module; do insmod "$module"; done < /modules.order
mount -t tmpfs -o size=75% none /memory
mkdir /memory/written /memory/work
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=1048576,cache=loose tree /tree
mount -t overlay -o lowerdir=/tree,upperdir=/memory/written,workdir=/memory/work none /root
mkdir -p "/root$exchange"
mount -t 9p -o trans=virtio,version=9p2000.L,cache=none exchange "/root$exchange"
mount -t proc none /root/proc
mount -t sysfs none /root/sys
mount -t devtmpfs none /root/dev
mkdir -p /root/dev/shm /root/dev/pts
mount -t tmpfs none /root/dev/shm
mount -t tmpfs none /root/run
mount -t devpts none /root/dev/pts
ip link set lo up
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
chroot /root /bin/sh "$exchange/command" > "/root$exchange/output" 2>&1 < /dev/null
sync
poweroff -f
"""


class ImageFailed(Exception):
    """No image can be made on this machine."""


@dataclass(frozen=True)
class Image:
    """What QEMU boots."""

    kernel: Path
    root: Path


def missing_tools() -> tuple[str, ...]:
    """Debian packages that are wanted here, and are not installed."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    return tuple(
        package for tool, package in _TOOLS.items() if shutil.which(tool, path=path) is None
    )


def prepare(cache: Path = CACHE) -> Image:
    """The image in ``cache``, made first if it is not there. `ImageFailed`."""
    if missing := missing_tools():
        raise ImageFailed(f"apt-get install {' '.join(missing)}")
    # Anybody can make a directory there; nobody else's kernel is booted with this user's files.
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    if cache.lstat().st_uid != os.geteuid():
        raise ImageFailed(f"{cache} is another user's")
    folder = cache / str(_LAYOUT)
    image = Image(folder / "kernel", folder / "root.gz")
    if image.kernel.exists() and image.root.exists():
        return image
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        new = Path(scratch) / "image"
        new.mkdir()
        package = _fetch_kernel(Path(scratch))
        shutil.copy(next((package / "boot").glob("vmlinuz-*")), new / "kernel")
        (new / "root.gz").write_bytes(_first_root(package, Path(scratch) / "root"))
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    return image


def _fetch_kernel(scratch: Path) -> Path:
    """Debian's kernel for this architecture, unpacked."""
    metadata = _run("apt-cache", "depends", "--important", "linux-image-amd64")
    found = re.search(r"Depends: (linux-image-\S+)", metadata)
    if found is None:
        raise ImageFailed("apt knows no linux-image-amd64; apt-get update may help")
    _run("apt-get", "download", found[1], cwd=scratch)
    package = scratch / "package"
    _run("dpkg-deb", "--extract", str(next(scratch.glob("*.deb"))), str(package))
    return package


def _first_root(package: Path, root: Path) -> bytes:
    """A cpio archive with busybox, the modules, and a program that puts the host's tree there."""
    for folder in ("bin", "dev", "memory", "modules", "proc", "root", "tree"):
        (root / folder).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, root / "bin" / "busybox")
    order = []
    for path in _modules(package):
        order.append(f"/modules/{path.name}")
        shutil.copy(path, root / "modules")
    (root / "modules.order").write_text("\n".join(order) + "\n")
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    names = "\0".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
    archive = subprocess.run(
        ["cpio", "--quiet", "--create", "--null", "--format=newc"],
        cwd=root,
        input=names.encode(),
        capture_output=True,
        check=True,
    )
    return gzip.compress(archive.stdout, 1)


def _modules(package: Path) -> list[Path]:
    """The modules' files, each behind those it needs."""
    version = next((package / "lib" / "modules").iterdir()).name
    _run("depmod", "--basedir", str(package), version)
    paths: list[Path] = []
    for name in _MODULES:
        shown = _run(
            "modprobe", "--dirname", str(package), "--set-version", version, "--show-depends", name
        )
        for line in shown.splitlines():
            kind, _, path = line.strip().partition(" ")
            if kind == "insmod" and Path(path) not in paths:
                paths.append(Path(path))
    return paths


def _run(*command: str, cwd: Path | None = None) -> str:
    environment = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=True
        )
    except FileNotFoundError as error:
        raise ImageFailed(f"{command[0]} is missing: this is no Debian") from error
    except subprocess.CalledProcessError as error:
        raise ImageFailed(f"{' '.join(command)}: {error.stderr.strip()[-500:]}") from error
    return done.stdout


if __name__ == "__main__":
    try:
        made = prepare()
    except ImageFailed as failure:
        sys.exit(f"no kernel to test with: {failure}")
    sys.stdout.write(f"{made.kernel} and {made.root}\n")
