"""Kinds: ours by folder, a missing extra told with its remedy, a wrong name with the nearest one."""

from pathlib import Path

import pytest

import tailrace.sink
from tailrace.error import ConfigError
from tailrace.plugin import Group, find, kinds


def test_every_kind_of_ours_is_found_under_its_name() -> None:
    for group in Group:
        assert kinds(group)
        for kind in kinds(group):
            assert find(group, kind).kind == kind  # type: ignore[attr-defined]


def test_a_missing_extra_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fancy.py").write_text("import driver_that_nobody_has\n")
    monkeypatch.setattr(tailrace.sink, "__path__", [*tailrace.sink.__path__, str(tmp_path)])
    with pytest.raises(ConfigError, match="sink 'fancy' needs driver_that_nobody_has") as caught:
        find(Group.SINK, "fancy")
    assert caught.value.hint == "pip install 'tailrace[fancy]'"


def test_a_fault_inside_a_module_of_ours_is_not_taken_for_a_missing_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text("import tailrace.nowhere\n")
    monkeypatch.setattr(tailrace.sink, "__path__", [*tailrace.sink.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match=r"tailrace\.nowhere"):
        find(Group.SINK, "broken")


def test_a_wrong_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'duckdb'"):
        find(Group.SINK, "duckbd")
