from pathlib import Path

import pytest

from quantseg.files import caches


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(caches.FOLDER_VARIABLE, str(tmp_path))
    assert caches.folder() == tmp_path
    monkeypatch.delenv(caches.FOLDER_VARIABLE)
    assert caches.folder().name == "quantseg"
