"""A directory that is made whole takes the place of an empty one, agrees with an equal one, and replaces no other."""

import pytest

from satlab.errors import InputError
from satlab.system.new_folder import new_folder


def make(target, files):
    with new_folder(target) as partial:
        for name, content in files.items():
            (partial / name).parent.mkdir(exist_ok=True)
            (partial / name).write_text(content)


def held(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


FILES = {"a": "1", "inside/b": "2"}


@pytest.mark.parametrize("before", ["nothing", "an empty one", "an equal one"])
def test_it_is_there_once(before, tmp_path):
    if before != "nothing":
        make(tmp_path / "target", {} if before == "an empty one" else FILES)
    make(tmp_path / "target", FILES)
    assert held(tmp_path) == {f"target/{name}": content for name, content in FILES.items()}


@pytest.mark.parametrize("other", [FILES | {"a": "3"}, FILES | {"c": ""}, {"a": "1"}, {"a": "1", "inside/c": "2"}])
def test_other_files_stay(other, tmp_path):
    make(tmp_path / "target", other)
    with pytest.raises(InputError, match="holds something else"):
        make(tmp_path / "target", FILES)
    assert held(tmp_path) == {f"target/{name}": content for name, content in other.items()}
