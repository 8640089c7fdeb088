"""Pictures of trees and of state sequences: nothing overlaps, nothing is lost, everything in its place."""

import itertools

import matplotlib.pyplot
import nltk
import numpy as np
import pytest

from satlab.lab import pictures

TREES = [
    "(S (NP|<VERY-LONG-NAME-OF-A-SYMBOL> a) (B b) (C (D (E (F c)))))",
    "(S a (S b (S c (S d e) f)) g h)",
    "(S (A incomprehensibilities) (B (PRP$ $x$) (PRP$ my_$x$)) i)",
    "(S x)",
]


@pytest.mark.parametrize("bracketed", TREES)
def test_no_two_texts_of_a_tree_overlap_and_the_words_stand_in_order_at_the_bottom(bracketed):
    tree = nltk.Tree.fromstring(bracketed)
    figure = pictures.draw_tree(tree)
    figure.draw_without_rendering()
    texts = figure.axes[0].texts
    boxes = [text.get_window_extent() for text in texts]
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
    frame = figure.bbox
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)
    bottom = min(text.get_position()[1] for text in texts)
    words = sorted((text.get_position()[0], text.get_text()) for text in texts if text.get_position()[1] == bottom)
    assert [word for _, word in words] == tree.leaves()
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
