"""Write docs/settings.md from the settings themselves: ``python scripts/settings_reference.py [--check]``."""

from __future__ import annotations

import sys
import tempfile
import types
import typing
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from consumer.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
HEAD = """# Settings

Written from `consumer/settings.py` by `make docs`; do not edit.

Each setting is an environment variable `TINGXIE_<SECTION>__<NAME>`, or a name in a table of the TOML file given with
`--config`; the environment wins. `tingxie check` reports all wrong settings together. Tables are written as JSON in the
environment (`TINGXIE_KAFKA__PROPERTIES='{"security.protocol": "SASL_SSL"}'`), lists with commas.
"""


def reference() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for section, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        parts.append(f"\n## {section}\n\n{model.__doc__}\n\n| setting | default | what it is |\n| --- | --- | --- |\n")
        parts += [
            f"| `TINGXIE_{section.upper()}__{name.upper()}` | {_default(inner)} | {_meaning(inner)} |\n"
            for name, inner in model.model_fields.items()
        ]
    return "".join(parts)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value in (None, (), {}, ""):
        return ""
    # The system's folder for temporary files differs between machines, the page must not.
    return f"`{value}`".replace(tempfile.gettempdir(), "<temporary folder>")


def _meaning(field: FieldInfo) -> str:
    annotation = field.annotation
    choices = typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()
    allowed = f" ({', '.join(f'`{choice}`' for choice in choices)})" if choices else ""
    optional = isinstance(annotation, types.UnionType) and type(None) in typing.get_args(annotation)
    return f"{field.description}{allowed}" + (" (optional)" if optional else "")


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(0 if PAGE.read_text() == reference() else f"{PAGE} is not what the settings say; run `make docs`")
    PAGE.write_text(reference())
