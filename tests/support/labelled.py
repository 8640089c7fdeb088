"""Tasks with labels given by a function of the sentences, and features that are the words themselves."""

import torch

from satlab.estimate import Estimate
from satlab.generators import Task
from satlab.models.interface import LanguageModel


class OneHot(LanguageModel):
    """Features that are the words themselves; what stands at padded positions is `padding`."""

    def __init__(self, language, padding=0.0):
        super().__init__()
        self.name, self.vocab_size, self.max_length = "one-hot", language.vocab_size, language.max_length
        self.feature_size, self.padding = language.vocab_size, padding

    def features(self, tokens):
        hot = torch.nn.functional.one_hot(tokens, self.vocab_size + 3)[..., : self.vocab_size].double()
        return torch.where((tokens == self.pad_id)[..., None], self.padding, hot)

    def logits(self, features):
        return features


class Labelled(Task):
    """label(sentences) in so many classes."""

    def __init__(self, classes, label):
        self.classes, self.label = tuple(map(str, range(classes))), label

    def labels(self, sentences):
        return self.label(sentences)

    def bayes_accuracy(self, num_sentences, generator):
        return Estimate(1.0, 0.0, num_sentences)


FIRST_WORD = Labelled(10, lambda s: s.tokens[:, 0])
