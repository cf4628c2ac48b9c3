"""The documentation as a site: every page is in its navigation, and every link leads somewhere."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("docs_site", ROOT / ".ci/docs.py")
SITE = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(SITE)
PAGES = SITE.pages()


def test_every_page_is_in_the_navigation():
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    named = {path.relative_to(ROOT).as_posix() for path in PAGES.values()}
    assert not there - named, "add these to NAVIGATION in .ci/docs.py"
    assert not [page for page in named if not (ROOT / page).is_file()], "NAVIGATION in .ci/docs.py"


@pytest.mark.parametrize("name", PAGES)
def test_links_of_a_page_lead_somewhere(name):
    page = PAGES[name]
    for link in SITE.links(page.read_text(encoding="utf-8")):
        if found := SITE.target_of(link, page):
            file, anchor = found
            assert file.exists(), f"{page.name}: {link}"
            if anchor:
                text = file.read_text(encoding="utf-8")
                assert anchor in SITE.anchors(text), f"{page.name}: {link}"


def test_the_site_has_the_links_of_the_repository(tmp_path):
    """Each link of a gathered page names a page or a picture beside it."""
    SITE.write(tmp_path)
    pages = {path.name for path in tmp_path.iterdir()}
    assert {"index.md", "commands.md", "api.md", "demo.png", "conf.py"} <= pages
    for path in tmp_path.glob("*.md"):
        for link in SITE.links(path.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:|#", link):
                assert link.partition("#")[0] in pages, f"{path.name}: {link}"
    assert "(own-data.md)" in (tmp_path / "start.md").read_text()
    library = (tmp_path / "library.md").read_text()
    assert "plain_loop.py (`examples/plain_loop.py`)" in library, "a file that is no page"
    assert "## kd watch" in (tmp_path / "commands.md").read_text()


def test_the_table_of_contents_has_every_page_once(tmp_path):
    text = "\n".join(SITE.tables_of_contents().values())
    blocks = re.findall(r"```\{toctree\}\n(.*?)```", text, flags=re.DOTALL)
    named = [line for block in blocks for line in block.splitlines() if line and line[0] != ":"]
    parts = [name for name in SITE.tables_of_contents() if name != "index"]
    assert sorted(named) == sorted([*PAGES, *SITE.GENERATED, *parts])


def test_links_in_code_are_no_links():
    assert list(SITE.links("see [a](b.md), `[c](d.md)`\n```\n[e](f.md)\n```\n")) == ["b.md"]


def test_sphinx_builds_the_site_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="`make docs` installs Sphinx in a folder of its own")
    assert SITE.main(tmp_path / "site") == 0
