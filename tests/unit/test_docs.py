"""What the documents say is what the program does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from consumer.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", ["settings", "metrics", "chart"])
def test_a_generated_page_is_what_its_source_says(page: str) -> None:
    done = subprocess.run(
        [sys.executable, f"scripts/{page}_reference.py", "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_a_page_names_exists(page: Path) -> None:
    for section, name in re.findall(r"TINGXIE_([A-Z]+)__([A-Z0-9_]+)", page.read_text()):
        model = Settings.model_fields[section.lower()].annotation
        assert name.lower() in model.model_fields, f"TINGXIE_{section}__{name}"  # type: ignore[union-attr]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_settings_file_a_page_shows_is_taken(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
        config = tmp_path / f"{number}.toml"
        config.write_text(text)
        load_settings(config)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_a_page_links_to_exists(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_architecture_names_every_package() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = [path.parent.name for path in (ROOT / "consumer").glob("*/__init__.py")]
    assert [name for name in packages if f"{name}/" not in text] == []
