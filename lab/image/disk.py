"""From a folder to a bootable disk, without loop devices: they are not to be had everywhere.

The disk has a DOS partition table with one ext4 partition that begins at 1 MiB. Into the gap before it
goes GRUB, with its few commands built in: it loads `/vmlinuz` and `/initrd.img`, the links that Debian
keeps on the newest kernel.
"""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

from lab.image import recipe
from lab.image.rootfs import ImageBuildError, run

_PARTITION_OFFSET = 1024 * 1024
_SECTOR = 512
_BOOT_CODE_BYTES = 440
_GRUB = Path("/usr/lib/grub/i386-pc")
_GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "linux16", "boot")
"""`linux16` because `linux` loads the kernel at 1 MiB and then moves it and the 40 MiB it will need, byte by
byte, to 16 MiB: two seconds on an emulated processor."""

_FEATURES = "^metadata_csum,^metadata_csum_seed,^orphan_file"
"""Newer mke2fs turns on what the guest's GRUB and fsck do not know; checksums cost an emulated processor time."""

_BYTES_PER_INODE = "65536"
"""Few inodes: when the file system grows, the kernel writes the tables of the new ones out at once."""


def build_disk(root: Path, disk: Path) -> None:
    """Write a raw, sparse disk image `disk` that boots the system in the folder `root`.

    Raises:
        ImageBuildError: a tool is missing, or the system does not fit.
    """
    identity = str(uuid.uuid4())
    (root / "etc/fstab").write_text(f"UUID={identity} / ext4 noatime,noinit_itable 0 0\n")
    with disk.open("wb") as empty:
        empty.truncate(recipe.DISK_BYTES)
    _partition(disk)
    blocks = (recipe.DISK_BYTES - _PARTITION_OFFSET) // 4096
    run(
        [
            *(
                "mke2fs",
                "-q",
                "-F",
                "-t",
                "ext4",
                "-b",
                "4096",
                "-U",
                identity,
                "-m",
                "1",
                "-i",
                _BYTES_PER_INODE,
                "-O",
                _FEATURES,
            ),
            *("-d", str(root), "-E", f"offset={_PARTITION_OFFSET},nodiscard", str(disk), str(blocks)),
        ],
        cause="making the root file system",
    )
    install_boot_loader(disk, identity)


def to_qcow2(disk: Path, target: Path) -> None:
    """Convert the raw image; not compressed, since each clone would have to unpack it.

    Raises:
        ImageBuildError: no space.
    """
    run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(disk), str(target)],
        cause="writing the qcow2 image",
    )


def _partition(disk: Path) -> None:
    layout = f"label: dos\nstart={_PARTITION_OFFSET // _SECTOR}, type=83, bootable\n"
    run(["sfdisk", "--quiet", str(disk)], cause="partitioning the disk", text=layout)


def install_boot_loader(disk: Path, identity: str, *more: str) -> None:
    """Write GRUB into the gap before the first partition.

    Args:
        disk: the raw image.
        identity: UUID of its root file system.
        more: kernel arguments after those of the recipe; what is tried with one of them needs no other image.

    Raises:
        ImageBuildError: GRUB is missing, or does not fit.
    """
    if not (_GRUB / "boot.img").exists():
        raise ImageBuildError(f"{_GRUB / 'boot.img'} is missing: install the package grub-pc-bin")
    with tempfile.TemporaryDirectory() as scratch:
        commands, core = Path(scratch) / "grub.cfg", Path(scratch) / "core.img"
        arguments = " ".join((f"root=UUID={identity}", *recipe.KERNEL_ARGUMENTS, *more))
        commands.write_text(
            f"set root=(hd0,msdos1)\nlinux16 /vmlinuz {arguments}\ninitrd16 /initrd.img\nboot\n"
        )
        run(
            [
                *("grub-mkimage", "-O", "i386-pc", "-d", str(_GRUB), "-p", "(hd0,msdos1)/boot/grub"),
                *("-c", str(commands), "-o", str(core), *_GRUB_MODULES),
            ],
            cause="making the boot loader",
        )
        content = core.read_bytes()
    if len(content) > _PARTITION_OFFSET - _SECTOR:
        raise ImageBuildError(
            "the boot loader does not fit before the first partition: take modules out of it"
        )
    with disk.open("r+b") as written:
        written.write((_GRUB / "boot.img").read_bytes()[:_BOOT_CODE_BYTES])
        written.seek(_SECTOR)
        written.write(content)
