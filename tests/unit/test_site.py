"""The documentation site: it builds, a broken link stops it, and its pages load nothing from other hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("site")  # built once

BUILD = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going"]
LOADED = re.compile(
    r"<(?:script|img|iframe|link|source|video|audio|embed)\b[^>]*?\b(?:src|href)=\"([^\"]*)\""
)


def build(source: Path, to: Path) -> subprocess.CompletedProcess[str]:
    """Build a site as `make docs` does."""
    command = [*BUILD, "-d", str(to / "doctrees"), str(source), str(to / "site")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of this repository."""
    folder = tmp_path_factory.mktemp("site")
    done = build(REPOSITORY / "docs", folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "site"


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {
        path.relative_to(REPOSITORY / "docs").with_suffix("") for path in (REPOSITORY / "docs").rglob("*.md")
    }
    assert {page for page in pages if not (site / page).with_suffix(".html").is_file()} == set()


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    loaded = {url for page in site.rglob("*.html") for url in LOADED.findall(page.read_text())}
    assert any(url.endswith(".css") or ".css?" in url for url in loaded)
    assert {url for url in loaded if "//" in url} == set()
    styles = [path.read_text() for path in site.rglob("*.css")]
    assert {
        url for text in styles for url in re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)\s]*", text)
    } == set()


def test_broken_links_stop_the_build_and_each_is_named(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "conf.py").write_text((REPOSITORY / "docs" / "conf.py").read_text())
    (source / "index.md").write_text("# Index\n\n```{toctree}\npage\n```\n")
    (source / "page.md").write_text("# Page\n\n[good](page.md#page)\n")
    assert build(source, tmp_path / "good").returncode == 0
    wrong = ["gone-page.md", "page.md#gone-heading", "gone-file.yml"]
    text = "".join(f"[gone]({link})\n\n" for link in wrong) + "![gone](gone-picture.svg)\n"
    (source / "page.md").write_text(f"# Page\n\n{text}")
    broken = build(source, tmp_path / "broken")
    assert broken.returncode != 0
    assert [
        name for name in ("page", "heading", "file", "picture") if f"gone-{name}" not in broken.stderr
    ] == []


def links(page: Path) -> Iterator[str]:
    """Where a page's links and pictures lead."""
    waiting: list[Token] = MarkdownIt("commonmark").enable("table").parse(page.read_text())
    while waiting:
        token = waiting.pop()
        waiting += token.children or []
        target = token.attrs.get("href") or token.attrs.get("src")
        if target:
            yield str(target)


def test_links_of_the_readme_lead_to_files_of_the_repository() -> None:
    found = [link for link in links(REPOSITORY / "README.md") if "://" not in link]
    assert len(found) > 10
    assert [link for link in found if not (REPOSITORY / link.partition("#")[0]).exists()] == []


def test_links_of_the_pages_lead_to_files_of_the_repository() -> None:
    """As readers in git follow them: relative to the page."""
    broken = [
        (page.name, link)
        for page in (REPOSITORY / "docs").rglob("*.md")
        for link in links(page)
        if "://" not in link
        and link.partition("#")[0]
        and not (page.parent / link.partition("#")[0]).exists()
    ]
    assert broken == []
