"""From Debian packages to the guest's root file system, as a folder."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from lab.image import recipe

OVERLAY = Path(__file__).parent / "overlay"
"""Files that go into the guest as they are, under the path they have there."""

_NETWORK_SETTINGS = re.compile(
    r"^Acquire::(?!IndexTargets|Changelogs|Languages)[^ ]+ \"[^\"]+\";$", re.MULTILINE
)


class ImageBuildError(RuntimeError):
    """The image could not be built; the message says which step failed and what it said."""


def build_root(root: Path, suite: str, report: Callable[[str], None]) -> None:
    """Make the guest's root file system in the folder `root`, which must be absent or empty.

    Raises:
        ImageBuildError: packages cannot be had or installed, or a step inside the new system failed.
    """
    report(f"installing Debian {suite} packages (about a minute)")
    _install_packages(root, suite, report)
    report("tuning the guest's system")
    _lay_over(root)
    _fill_in_initramfs_modules(root)
    _choose_units(root)
    _remove_identity(root)
    inside(root, "update-tirfs")
    _compile_python(root)
    for leftover in ("var/cache/apt", "var/lib/apt/lists", "var/log"):
        _empty(root / leftover)


def inside(root: Path, *command: str) -> None:
    """Run a program of the new system in it.

    Raises:
        ImageBuildError: it failed.
    """
    run(["chroot", str(root), *command], cause=f"inside the new system, `{' '.join(command)}`")


def run(command: list[str], *, cause: str, text: str = "") -> None:
    """Run a program to its end, with `text` as its input; `cause` begins the message where it fails.

    Raises:
        ImageBuildError: it is not installed, or it failed.
    """
    try:
        done = subprocess.run(
            command,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise ImageBuildError(f"{cause} needs `{command[0]}`, which is not installed") from error
    if done.returncode:
        raise ImageBuildError(
            f"{cause} failed (exit status {done.returncode}):\n{done.stdout[-2000:].strip()}"
        )


def _install_packages(root: Path, suite: str, report: Callable[[str], None]) -> None:
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(recipe.PACKAGES)}"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.LEFT_OUT_FILES]
    command += [f"--dpkgopt=path-include={pattern}" for pattern in recipe.LEFT_IN_FILES]
    command += [f"--aptopt={setting}" for setting in _machine_apt_settings()]
    command += ['--aptopt=Acquire::Languages "none"', suite, str(root)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101 (a pipe was asked for)
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("I: ") and not line.startswith("I: automatically"):
                report(f"  {line.removeprefix('I: ').strip().removesuffix('...')}")
    if process.returncode:
        raise ImageBuildError(
            f"mmdebstrap could not install Debian {suite}: {''.join(said)[-2000:].strip()}\n"
            "The machine needs root and a way to Debian's packages: does `apt-get update` work?"
        )


def _machine_apt_settings() -> list[str]:
    """How this machine's apt reaches packages (proxy, retries, checks of dates): mmdebstrap's own apt ignores that."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return _NETWORK_SETTINGS.findall(dump)


def _lay_over(root: Path) -> None:
    """Copy the overlay's files with modes of their own: those of a clone follow its owner's umask."""
    for source in sorted(OVERLAY.rglob("*")):
        if source.is_file():
            target = root / source.relative_to(OVERLAY)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o755 if target.read_bytes().startswith(b"#!") else 0o644)


def _fill_in_initramfs_modules(root: Path) -> None:
    settings = root / "etc/tiny-initramfs/tiny-initramfs.conf"
    text = settings.read_text().replace("@INITRAMFS_MODULES@", ",".join(recipe.INITRAMFS_MODULES))
    settings.write_text(text)


def _choose_units(root: Path) -> None:
    system = root / "etc/systemd/system"
    for unit in recipe.MASKED_UNITS:
        _link(system / unit, "/dev/null")
    for generator in recipe.MASKED_GENERATORS:
        _link(root / "etc/systemd/system-generators" / generator, "/dev/null")
    for unit in recipe.DISABLED_UNITS:
        (system / unit).unlink(missing_ok=True)
    for unit in recipe.ENABLED_UNITS:
        folder, name = unit.split("/")
        own = system / name
        _link(
            system / folder / name,
            f"/{own.relative_to(root)}" if own.exists() else f"/lib/systemd/system/{name}",
        )
    _link(system / "default.target", "/lib/systemd/system/multi-user.target")


def _remove_identity(root: Path) -> None:
    """Leave out what must differ from guest to guest; the first boot makes it."""
    # Empty, not absent: an absent one makes systemd go through the presets of all units.
    (root / "etc/machine-id").write_text("")
    _link(root / "var/lib/dbus/machine-id", "/etc/machine-id")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/hostname").write_text("localhost\n")
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    (root / "etc/resolv.conf").write_text("")


def _compile_python(root: Path) -> None:
    """Make Python's compiled files valid whatever the files' times say: building an image changes those."""
    folders = ("/usr/lib/python3", "/usr/lib/python3.11")
    present = [folder for folder in folders if (root / folder.lstrip("/")).exists()]
    inside(root, "python3", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", *present)


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            _empty(path)
        else:
            path.unlink()
