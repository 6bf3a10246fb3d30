"""What is made from the code is what the code would make now."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

from tests.docs.session import ROOT

NAMES = ("settings.md", "errors.md", "command-line.md", "interfaces.md", "plugins.md")


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(generate: ModuleType) -> dict[str, str]:
    made: dict[str, str] = generate.pages()
    return made


def test_allPagesAreChecked(pages: dict[str, str]) -> None:
    assert sorted(pages) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_aGeneratedPageIsCurrent(name: str, pages: dict[str, str]) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text()
    assert written == pages[name], "run .venv/bin/python docs/generate.py"


def test_everySettingErrorOptionAndHookIsThere(pages: dict[str, str]) -> None:
    from twistproxy.errors import ALL_KINDS
    from twistproxy.settings import describeSettings

    for each in describeSettings():
        assert f'<a id="{each.name}"></a>' in pages["settings.md"]
    for kind in ALL_KINDS:
        assert f"`{kind.reason}` | {kind.status} |" in pages["errors.md"]
    for option in ("upstream", "listen", "balancer", "director", "config", "set", "demo", "check"):
        assert f'<a id="{option}"></a>' in pages["command-line.md"]
    for hook in ("IDirector.direct", "IBalancer.pick", "IResponseModifier.modify", "IErrorHandler.handle"):
        assert f"### {hook}\n" in pages["interfaces.md"]
