"""Pictures of trees and of state sequences: nothing overlaps, nothing is lost, everything in its place."""

import itertools

import matplotlib.pyplot
import nltk
import numpy as np
import pytest

from satlab.lab.describe import pictures

TREES = [
    "(S (NP|<VERY-LONG-NAME-OF-A-SYMBOL> a) (B b) (C (D (E (F c)))))",
    "(S a (S b (S c (S d e) f)) g h)",
    "(S (A incomprehensibilities) (B (PRP$ $x$) (PRP$ my_$x$)) i)",
    "(S x)",
]


def balanced(levels, word="w"):
    """A tree of 2^levels words, each under a symbol of its own."""
    if levels == 0:
        return f"(N {word})"
    return f"(V{levels} {balanced(levels - 1, word)} {balanced(levels - 1, word)})"


def drawn_without_overlap(figure):
    """The texts, after a check that no two overlap and all are within the picture."""
    figure.draw_without_rendering()
    texts = figure.axes[0].texts
    boxes = [text.get_window_extent() for text in texts]
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
    frame = figure.bbox
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)
    return texts


@pytest.mark.parametrize("bracketed", TREES)
def test_no_two_texts_of_a_tree_overlap_and_the_words_stand_in_order_at_the_bottom(bracketed):
    tree = nltk.Tree.fromstring(bracketed)
    figure = pictures.draw_tree(tree)
    texts = drawn_without_overlap(figure)
    bottom = min(text.get_position()[1] for text in texts)
    words = sorted((text.get_position()[0], text.get_text()) for text in texts if text.get_position()[1] == bottom)
    assert [word for _, word in words] == tree.leaves()
    matplotlib.pyplot.close(figure)


@pytest.mark.parametrize(
    ("tree", "words", "leaves"),
    [
        (balanced(6), 64, ["2"] * 32),
        (balanced(9), 512, ["16"] * 32),
        (balanced(7, "a-word-of-some-length"), 128, ["4"] * 32),
        (balanced(5).replace("(N w)", "(N (M w w w))"), 96, ["3"] * 32),
        ("(S w (A (N x) (N y)) " + balanced(6) + ")", 67, ["w", "x", "y", *["2"] * 32]),
        ("(S " * 70 + "w x" + " v)" * 69 + ")", 71, ["12", *["v"] * 59]),
    ],
    ids=["little", "large", "long-words", "flat-below", "words-beside", "left-branching"],
)
def test_a_large_tree_is_cut_with_a_triangle_for_the_words_below(tree, words, leaves):
    tree = nltk.Tree.fromstring(tree)
    assert len(tree.leaves()) == words
    figure = pictures.draw_tree(tree)
    texts = drawn_without_overlap(figure)
    title = max((text for text in texts), key=lambda text: text.get_position()[1]).get_text()
    assert title.startswith(f"the top of a tree over {words} words")
    bottom = min(text.get_position()[1] for text in texts)
    at_bottom = sorted((text.get_position()[0], text.get_text()) for text in texts if text.get_position()[1] == bottom)
    assert [text for _, text in at_bottom] == leaves
    assert len(figure.axes[0].patches) == sum(text.isdigit() for text in leaves)
    counted = sum(int(text) if text.isdigit() else 1 for text in leaves)
    assert counted == words
    assert max(figure.get_size_inches()) < 40
    matplotlib.pyplot.close(figure)


def test_a_tree_that_fits_is_drawn_whole_and_without_a_title():
    tree = nltk.Tree.fromstring("(S " + "(A (B b)) " * 60 + ")")
    figure = pictures.draw_tree(tree)
    texts = drawn_without_overlap(figure)
    assert len(texts) == 1 + 3 * 60
    assert not figure.axes[0].patches
    matplotlib.pyplot.close(figure)


@pytest.mark.parametrize(
    ("length", "rows"),
    [
        (64, [64]),
        (65, [33, 32]),
        (200, [50] * 4),
        pytest.param(700, [64] * 10 + [60], marks=pytest.mark.slow),
    ],
)
def test_long_sentences_go_on_in_the_next_row(length, rows):
    """Every state, word and probability in its place, the shades from 0 to 1 in all rows."""
    posterior = np.random.default_rng(0).dirichlet(np.full(5, 0.3), length)
    states, words = posterior.argmax(1), [str(i % 100) for i in range(length)]
    figure = pictures.draw_states(words, states.tolist(), posterior)
    figure.draw_without_rendering()
    *axes, scale = figure.axes
    assert [len(each.get_xticklabels()) for each in axes] == rows
    assert [label.get_text() for each in axes for label in each.get_xticklabels()] == words
    np.testing.assert_array_equal(np.concatenate([each.lines[0].get_ydata() for each in axes]), states)
    np.testing.assert_array_equal(np.concatenate([each.images[0].get_array() for each in axes], 1), posterior.T)
    assert {each.images[0].get_clim() for each in axes} == {(0, 1)}
    assert scale.get_ylim() == (0, 1)
    boxes = [each.get_tightbbox() for each in figure.axes]
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
    labels = [label.get_window_extent() for label in axes[0].get_xticklabels()]
    assert not any(first.overlaps(second) for first, second in itertools.pairwise(labels))
    assert figure.get_size_inches()[0] < 26
    matplotlib.pyplot.close(figure)


@pytest.mark.parametrize(("word", "turned"), [("often", False), ("incomprehensibilities", True)])
def test_long_words_leave_room_for_the_next_row(word, turned):
    posterior = np.full((100, 3), 1 / 3)
    figure = pictures.draw_states([word] * 100, [0] * 100, posterior)
    figure.draw_without_rendering()
    boxes = [each.get_tightbbox() for each in figure.axes]
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
    labels = figure.axes[0].get_xticklabels()
    assert {label.get_rotation() for label in labels} == {90.0 if turned else 0.0}
    extents = [label.get_window_extent() for label in labels]
    assert not any(first.overlaps(second) for first, second in itertools.pairwise(extents))
    assert figure.get_size_inches()[0] < 26
    matplotlib.pyplot.close(figure)


@pytest.mark.slow
def test_of_a_sentence_of_thousands_of_words_the_beginning_is_drawn():
    posterior = np.full((3000, 2), 0.5)
    figure = pictures.draw_states(["w"] * 3000, [0, 1] * 1500, posterior)
    assert [text.get_text() for text in figure.texts] == ["the first 768 of 3,000 words"]
    assert len(figure.axes) == 12 + 1
    matplotlib.pyplot.close(figure)


def test_states_that_play_no_part_are_left_out_of_a_large_picture():
    posterior = np.zeros((4, 30))
    posterior[:, 7], posterior[:, 21] = 0.9, 0.1
    figure = pictures.draw_states(["w"] * 4, [7, 7, 29, 7], posterior)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["8", "22", "30"]
    assert axes.lines[0].get_ydata().tolist() == [0, 0, 2, 0]
    assert "27 others" in axes.get_ylabel()
    matplotlib.pyplot.close(figure)


@pytest.mark.parametrize(
    ("words", "states"),
    [
        pytest.param(["w"] * 768, 200, id="states"),
        pytest.param(["w" * 300] * 768, 5, id="long", marks=pytest.mark.slow),
        pytest.param(["w"] * 5, 3000, id="many"),
    ],
)
def test_pictures_of_many_states_or_long_words_are_bounded(words, states):
    posterior = np.full((len(words), states), 1 / states)
    figure = pictures.draw_states(words, [i % states for i in range(len(words))], posterior, 10**7)
    width, height = figure.get_size_inches()
    assert width < 26
    assert height < 70
    (said,) = [text.get_text() for text in figure.texts]
    assert said.endswith(" of 10,000,000 words")
    assert said.startswith("the first ")
    matplotlib.pyplot.close(figure)


def test_a_deep_tree_is_cut():
    tree = "w"
    for _ in range(3000):
        tree = nltk.Tree("A", [tree])
    figure = pictures.draw_tree(nltk.Tree("A", [tree, "v"]))
    texts = drawn_without_overlap(figure)
    assert len(texts) < 2 * pictures.MOST_LEVELS
    assert any("over 2 words and 3,002 levels" in text.get_text() for text in texts)
    matplotlib.pyplot.close(figure)
