"""How the lines of a panel are told apart, and what is written into and below it."""

import pytest
from matplotlib.figure import Figure

from satlab.lab.figures.lettering import CAPTION_LINES, DASHES, LONGEST_LABEL, MARKERS, brief, looks_of, write_below


def test_members_of_a_group_share_a_color_and_differ_in_dash_and_marker():
    looks = looks_of(["a", "b", "a", "a", "b"])
    colors = [look["color"] for look in looks]
    assert colors[0] == colors[2] == colors[3] != colors[1] == colors[4]
    assert [look["linestyle"] for look in looks] == [DASHES[i] for i in (0, 0, 1, 2, 1)]
    assert [look["marker"] for look in looks] == [MARKERS[i] for i in (0, 0, 1, 2, 1)]


def test_the_eleventh_group_has_the_first_color_and_another_dash():
    looks = looks_of([str(i) for i in range(12)])
    assert looks[10]["color"] == looks[0]["color"] != looks[11]["color"]
    assert [looks[i]["linestyle"] for i in (0, 9, 10)] == [DASHES[0], DASHES[0], DASHES[1]]


@pytest.mark.parametrize("more", [0, 1, 30])
def test_a_name_keeps_its_beginning_and_its_end(more):
    name = "b" * 20 + "x" * (LONGEST_LABEL - 20 - 11 + more) + "end-of-name"
    shown = brief(name)
    assert len(shown) == LONGEST_LABEL
    assert (shown == name) == (more == 0)
    assert shown.startswith("b" * 20)
    assert shown.endswith("end-of-name")


def test_what_does_not_fit_below_is_left_out_and_shorter_sentences_still_come():
    figure = Figure(figsize=(4, 3))
    write_below(figure, ["First.", "word " * 17 * 4 * CAPTION_LINES, "Last."])
    assert figure.get_supxlabel() == "First. Last."
    assert figure.get_size_inches()[1] > 3
