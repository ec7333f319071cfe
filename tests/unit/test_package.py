"""The wheel: everything that the program needs is in it, and it works where there is no clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("package")  # built once

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_playbooks_and_templates_are_inside_and_the_lab_is_not(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("playbooks", "templates", "procedures"):
        files = subprocess.run(
            ["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
        assert files
        assert not {f"orchestrator/shipped/{file}" for file in files} - names
    pages = subprocess.run(
        ["git", "ls-files", "orchestrator/web/templates", "orchestrator/web/static"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {"orchestrator/web/templates/base.html", "orchestrator/web/static/style.css"} <= set(pages)
    assert not set(pages) - names
    assert not [name for name in names if name.startswith(("lab/", "tests/", "bench/"))]


def test_it_works_in_an_empty_place(wheel: Path, tmp_path: Path) -> None:
    """Installed where nothing of the clone can be seen; its dependencies are those of this environment."""
    place = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(place),
    ]
    subprocess.run([*pip, str(wheel)], check=True)
    assert (place / "bin" / "orchestrator").is_file()
    root, target = repr(str(ROOT)), repr(str(place))
    code = (
        f"import sys; sys.path[:] = [p for p in sys.path if p != {root}]; sys.path.insert(0, {target})\n"
        f"import orchestrator; assert orchestrator.__file__.startswith({target}), orchestrator.__file__\n"
        "from orchestrator.shipped_files import playbook_folder, template_folder\n"
        "assert (playbook_folder() / 'machine.yml').is_file() and (template_folder() / 'firewall.nft.j2').is_file()\n"
        "from orchestrator.web.rendering import environment\n"
        f"assert environment().get_template('base.html').filename.startswith({target})\n"
        "from orchestrator.__main__ import main; sys.argv = ['orchestrator', *sys.argv[1:]]; main()\n"
    )
    shipped = place / "orchestrator" / "shipped"
    # Ansible runs it in place of ssh.
    assert os.access(place / "orchestrator" / "guests" / "bounded_ssh.py", os.X_OK)
    done = subprocess.run(
        [sys.executable, "-c", code, "validate", str(shipped / "examples")],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_sites_and_clients_kept_in_the_clone_are_not_in_the_source_archive(tmp_path: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    clone = tmp_path / "clone"
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    for own in ("inventories/mine/paris.token", "subscriptions/dupont.yaml"):
        (clone / own).parent.mkdir(parents=True, exist_ok=True)
        (clone / own).write_text("nobody else's")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)]
    subprocess.run(command, cwd=clone, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert not [name for name in names if name.startswith(("inventories/mine", "subscriptions"))]
    assert {"inventories/example/sites.yaml", "inventories/vagrant/README.md"} <= names


def test_the_man_page_is_sound(tmp_path: Path) -> None:
    target = tmp_path / "orchestrator.1"
    subprocess.run([sys.executable, "-m", "tools.man", str(target)], cwd=ROOT, check=True)
    text = target.read_text()
    for command in ("validate", "apply", "backup restore", "doctor"):
        assert f".SS {command}" in text
    assert "\\-\\-max\\-plan\\-age" in text
    assert not [line for line in text.splitlines() if line.startswith(("'", "..")) or "\t" in line]
