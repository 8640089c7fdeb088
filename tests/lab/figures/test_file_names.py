"""Names of tasks, models and studies become names of files, whatever they are."""

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from satlab.lab.file_names import distinguishes_case, file_parts, same_file

ODD = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20),
    st.sampled_from(
        ["NP/NN", "a b", "a-b", "..", "x" * 300, "é" * 300, "x" * 299 + "y", "a\tb", "ADVP|PRT", "$_", "🙂" * 90]
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(ODD, unique=True, max_size=6))
def test_every_text_has_a_file_of_its_own(tmp_path, texts):
    parts = file_parts(texts, tmp_path)
    assert list(parts) == texts
    assert len(set(parts.values())) == len(texts)
    for part in parts.values():
        path = tmp_path / f"flatness_vs_accuracy-{part}.png"
        assert path.parent == tmp_path
        path.write_text("x")
        path.unlink()


def test_plain_names_stay_as_they_are(tmp_path):
    names = {"state-4": "state-4", "A linear-adamw": "A-linear-adamw", "ADVP|PRT": "ADVP|PRT", "日本": "日本"}
    assert file_parts(names, tmp_path) == names


def test_whether_capitals_tell_two_names_apart_is_asked_of_the_disk(tmp_path, monkeypatch):
    (tmp_path / "probe").mkdir()
    expected = not (tmp_path / "PROBE").exists()
    assert distinguishes_case(tmp_path / "probe" / "not" / "there") is expected
    assert same_file(["a", "b"], tmp_path) is None
    assert same_file(["a", "A"], tmp_path / "probe") == (None if expected else ("a", "A"))
    # A disk that takes capitals for small letters.
    monkeypatch.setattr(os.path, "samefile", lambda *_: True)
    assert same_file(["a", "b", "B"], tmp_path) == ("b", "B")
    assert file_parts(["np", "NP"], tmp_path)["NP"].startswith("NP-")
