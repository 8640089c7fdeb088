"""Causal networks as languages, on small random OPT and GPT-2: against full forward passes over all strings."""

import itertools
import json
import math
import shlex
import shutil
import subprocess
import sys

import pytest
import safetensors.torch
import torch
import yaml
from support.exactness import EXACT, assert_chain_rule, assert_conditionals, assert_log_prob, assert_loss_floor
from support.oracles import Enumeration
from support.untouched import untouched
from support.words import assert_frequencies, encode, generator, word_tuples

from satlab.errors import InputError
from satlab.generators import language, load_language
from satlab.generators.causal import language as causal
from satlab.generators.causal import next_word
from satlab.generators.causal.language import CausalLM
from satlab.lab.cli import main as cli

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

LENGTH, TEMPERATURE = 4, 0.7
TOKEN_IDS = {"opt": [3, 17, 5, 8, 0], "gpt2": [6, 2, 11, 14, 9]}
"""Five of twenty tokens, in no particular order; in OPT, 2 begins every text and 1 is padding, in GPT-2 19 begins."""


def random_network(kind, folder):
    """A network with weights large enough that its distributions are far from uniform, written to the folder."""
    if kind == "opt":
        shape = {"hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 32, "max_position_embeddings": 8}
        sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "init_std": 0.5}
        config = transformers.OPTConfig(vocab_size=20, bos_token_id=2, eos_token_id=2, pad_token_id=1, **shape, **sizes)
    else:
        shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 8, "initializer_range": 0.5}
        config = transformers.GPT2Config(vocab_size=20, bos_token_id=19, eos_token_id=19, **shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def full_pass(folder, token_ids, temperature, strings):
    """log p of each string of columns, by one pass over the whole string with the whole output layer and no cache."""
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    columns = torch.tensor(strings)
    ids = torch.nn.functional.pad(torch.tensor(token_ids)[columns], (1, 0), value=network.config.bos_token_id)
    with torch.no_grad():
        logits = network(ids, use_cache=False).logits[:, :-1, token_ids] / temperature
    return logits.log_softmax(-1).gather(2, columns[..., None])[..., 0].sum(1)


@pytest.fixture(scope="module", params=["opt", "gpt2"])
def folder(request, tmp_path_factory):
    return random_network(request.param, tmp_path_factory.mktemp("networks") / request.param)


@pytest.fixture(scope="module")
def pair(folder):
    """(language, the enumeration of all strings of words by full passes, the strings)."""
    token_ids = TOKEN_IDS[folder.name]
    made = CausalLM(folder, LENGTH, token_ids=token_ids, temperature=TEMPERATURE, dtype="float64")
    strings = list(itertools.product(range(len(token_ids)), repeat=LENGTH))
    probabilities = full_pass(folder, token_ids, TEMPERATURE, strings).exp().tolist()
    strings = [tuple(made.words[column] for column in string) for string in strings]
    return made, Enumeration(dict(zip(strings, probabilities, strict=True)), LENGTH), strings


def test_log_prob_is_that_of_a_full_pass_over_all_strings(pair):
    made, enumeration, strings = pair
    assert_log_prob(made, enumeration, strings, whole=True)
    log_prob = made.log_prob(encode(made, strings)[0])
    assert enumeration.total == pytest.approx(1, abs=1e-10)
    assert float(log_prob.max() - log_prob.min()) > 5
    assert made.log_prob(torch.tensor([[0, 1, 2]])).tolist() == [-math.inf]


@pytest.mark.parametrize("hide", [(), (0,), (3,), (0, 1), (1, 3)])
def test_conditional_is_that_of_all_strings(pair, hide):
    made, enumeration, strings = pair
    strings = strings[7::60]
    hidden = torch.zeros(len(strings), LENGTH, dtype=torch.bool)
    hidden[: len(strings) // 2 + 1, list(hide)] = True
    hidden[-1] = torch.tensor([False, False, bool(hide), False])
    unseen, hidden, expected = assert_conditionals(made, enumeration, strings, hidden)
    single = made.conditional_at(unseen, None, hidden, dtype=torch.float32)
    torch.testing.assert_close(single, expected[hidden].float())


def test_results_do_not_depend_on_the_memory_budget(pair, monkeypatch):
    made, _, strings = pair
    tokens = encode(made, strings[::100])[0]
    hidden = torch.tensor([False, True, True, False]).expand_as(tokens)

    def results():
        at_hidden = made.conditional_at(tokens, None, hidden)
        sampled = made.sample(7, generator()).tokens
        return made.log_prob(tokens), made.conditional(tokens), at_hidden, made.next_word(tokens), sampled

    expected = results()
    for module in (language, causal, next_word):
        monkeypatch.setattr(module, "MEMORY_BUDGET", 2**12)
    assert 1 <= made.reader.rows_at_a_time(LENGTH) <= 7
    torch.testing.assert_close(results(), expected, **EXACT)


def test_next_word_multiplies_to_the_sentence(pair):
    made, enumeration, strings = pair
    strings = strings[::31]
    tokens = encode(made, strings)[0]
    assert_chain_rule(made, tokens)
    table = made.next_word(tokens)
    prefix = sum(p for string, p in enumeration.probabilities.items() if string[:2] == strings[3][:2])
    longer = sum(p for string, p in enumeration.probabilities.items() if string[:3] == strings[3][:3])
    assert float(table[3, 2, tokens[3, 2]]) == pytest.approx(longer / prefix, abs=1e-10)


def test_next_word_reads_unfinished_sentences_and_refuses_longer_ones(pair):
    made, _, strings = pair
    tokens = encode(made, strings[:2])[0]
    begun = torch.nn.functional.pad(tokens, (0, 2), value=made.pad_id)
    begun[0, 2:] = made.pad_id
    table = made.next_word(begun)
    assert table.shape == (2, LENGTH + 3, made.vocab_size + 1)
    torch.testing.assert_close(table[:, :3], made.next_word(tokens)[:, :3], **EXACT)
    assert not table[0, 3:].any()
    assert not table[1, LENGTH + 1 :].any()
    with pytest.raises(InputError, match=r"sentence 0 has 5 words.*expected 4"):
        made.next_word(torch.zeros(1, 5, dtype=torch.long))


def test_sampled_frequencies(pair):
    made, enumeration, _ = pair
    sentences = made.sample(20_000, generator(1))
    assert_frequencies(word_tuples(made, sentences), enumeration.probabilities)
    assert (sentences.latents, set(sentences.lengths.tolist())) == ({}, {LENGTH})
    assert torch.equal(made.sample(50, generator(2)).tokens, made.sample(50, generator(2)).tokens)
    assert not torch.equal(made.sample(50, generator(2)).tokens, made.sample(50, generator(3)).tokens)
    assert made.sample(0, generator()).tokens.shape == (0, LENGTH)


@pytest.mark.parametrize("masking", ["one", pytest.param("bernoulli:0.3", marks=pytest.mark.slow)])
def test_loss_floor(folder, masking):
    token_ids = TOKEN_IDS[folder.name][:4]
    strings = list(itertools.product(range(4), repeat=3))
    probabilities = full_pass(folder, token_ids, 1.0, strings).exp().tolist()
    enumeration = Enumeration(dict(zip(strings, probabilities, strict=True)), 3)
    language = CausalLM(folder, 3, token_ids=token_ids, dtype="float64")
    assert assert_loss_floor(language, enumeration, 100, 1, masking, 0.2).stderr > 0


def test_temperature_divides_the_logits(folder):
    cold, hot = (CausalLM(folder, 2, words=6, temperature=t, dtype="float64") for t in (1.0, 3.0))
    start = torch.tensor([[0, 0]])
    first, hotter = cold.next_word(start)[0, 0, :-1], hot.next_word(start)[0, 0, :-1]
    torch.testing.assert_close(hotter, (first.log() / 3).softmax(0), **EXACT)
    assert float(torch.special.entr(hotter).sum()) > float(torch.special.entr(first).sum())


def test_single_precision_is_close_and_no_global_random_state_is_read(folder):
    with untouched():
        single, double = (CausalLM(folder, LENGTH, words=5, dtype=dtype) for dtype in ("float32", "float64"))
        tokens = double.sample(20, generator()).tokens
        torch.testing.assert_close(single.conditional(tokens), double.conditional(tokens), rtol=0, atol=1e-5)


def test_which_words(folder, tmp_path):
    """The lowest ids that are not special; the most frequent where counted; with a tokenizer, its strings."""
    lowest = {"opt": [0, 3, 4, 5], "gpt2": [0, 1, 2, 3]}[folder.name]
    preset = load_language({"preset": "liu2022-opt", "model": str(folder), "words": 4, "length": 2})
    assert (preset.token_ids, preset.words) == (lowest, tuple(map(str, lowest)))
    (tmp_path / "counts.txt").write_text("2 900\n19 800\n7\t50\n3 50\n4 0\n12 60.5\n")
    content = {"family": "causal", "model": str(folder), "length": 2, "token_counts": str(tmp_path / "counts.txt")}
    counted = {"opt": [12, 19], "gpt2": [2, 12]}[folder.name]
    assert load_language({**content, "words": 2}).token_ids == counted
    with pytest.raises(InputError, match=r"words is 9, but .* has 4 counted tokens.*expected 1 to 4"):
        load_language({**content, "words": 9})
    shutil.copytree(folder, tmp_path / "named")
    vocabulary = {f"word{i}": i for i in range(18)} | {"<s>": 18}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<s>"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(
        tmp_path / "named"
    )
    assert CausalLM(tmp_path / "named", 2, token_ids=[5, 3]).words == ("word5", "word3")
    assert max(CausalLM(tmp_path / "named", 2, words=16).token_ids) < 18
    with pytest.raises(InputError, match="token_ids: 19 is not a token"):
        CausalLM(tmp_path / "named", 2, token_ids=[3, 19])


def test_saved_and_loaded_bit_for_bit_and_changed_networks_refused(pair, folder, tmp_path):
    made, _, strings = pair
    shutil.copytree(folder, tmp_path / "network")
    copied = CausalLM(tmp_path / "network", LENGTH, token_ids=made.token_ids, temperature=TEMPERATURE, dtype="float64")
    saved = copied.save(str(tmp_path / "language"))
    loaded = load_language(saved)
    tokens = encode(made, strings[::50])[0]
    for again in (copied, loaded):
        assert again.fingerprint() == made.fingerprint()
        assert again.words == made.words
        assert torch.equal(again.log_prob(tokens), made.log_prob(tokens))
    assert load_language(saved, 3).max_length == 3
    assert load_language(saved, 3).fingerprint() != made.fingerprint()
    weights = safetensors.torch.load_file(tmp_path / "network" / "model.safetensors")
    weights[min(weights)].view(-1)[0] += 1e-3
    safetensors.torch.save_file(weights, tmp_path / "network" / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="not the network that this language was made from"):
        load_language(saved)


BAD = {
    "no directory": ({"model": "./nowhere/at/all"}, "no such directory, expected a directory that holds config.json"),
    "length": ({"length": 9}, "length 9: expected 1 to 8 words, the positions of"),
    "words": ({"words": 21}, r"words is 21, but .* tokens that are not special, expected 1 to"),
    "repeated": ({"words": None, "token_ids": [3, 4, 3]}, "token_ids: 3 is given twice, expected different numbers"),
    "no token": ({"words": None, "token_ids": [3, 20]}, "token_ids: 20 is not a token of .*from 0 to 19"),
    "no number": ({"words": None, "token_ids": [[3]]}, r"token_ids: \[3\] is not a token of"),
    "both": ({"token_ids": [3, 4]}, "expected either words .with or without token_counts. or token_ids"),
    "temperature": ({"temperature": 0}, "temperature 0.0: expected a positive number"),
    "dtype": ({"dtype": "float16"}, "unknown dtype 'float16': did you mean 'float"),
    "sha256": ({"sha256": "abc"}, "not the network that this language was made from"),
    "counts": ({"token_counts": "./no.txt"}, "token_counts: no.txt cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_named(folder, case):
    changes, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        load_language({"family": "causal", "model": str(folder), "words": 4, "length": 3} | changes)
    assert "\n" not in str(caught.value)


def test_networks_that_cannot_be_had(folder, tmp_path, monkeypatch, capfd):
    for missing in ("config.json", "model.safetensors"):
        shutil.copytree(folder, tmp_path / missing)
        (tmp_path / missing / missing).unlink()
        with pytest.raises(InputError, match=r"holds no (config.json|\*.safetensors), expected a directory"):
            CausalLM(tmp_path / missing, 2, words=3)
    (tmp_path / "config.json" / "config.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        CausalLM(tmp_path / "config.json", 2, words=3)
    shutil.copytree(folder, tmp_path / "partial")
    weights = safetensors.torch.load_file(tmp_path / "partial" / "model.safetensors")
    safetensors.torch.save_file(dict(sorted(weights.items())[1:]), tmp_path / "partial" / "model.safetensors")
    with pytest.raises(InputError, match="its files lack the weights"):
        CausalLM(tmp_path / "partial", 2, words=3)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"cannot be downloaded .* \(hf download a/b\), or give .*model: DIRECTORY"):
        CausalLM("a/b", 2, words=3)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"need the package transformers.*pip install 'saturation-lab\[hf\]'"):
        CausalLM(folder, 2, words=3)
    assert capfd.readouterr().err == ""


def test_too_many_fillings_are_refused(pair, monkeypatch):
    made, _, strings = pair
    tokens = encode(made, strings[:2])[0]
    hidden = torch.tensor([[False] * 4, [True, True, False, False]])
    monkeypatch.setattr(causal, "MAX_FILLINGS", 30)
    assert made.conditional_at(tokens, None, hidden).shape == (2, 5)
    with pytest.raises(InputError, match=r"sentence 1: 3 unknown words have 5\^3 fillings.*at most 30"):
        made.conditional(tokens, None, hidden)


def test_transformers_is_imported_only_when_needed():
    code = "import sys, satlab.lab.cli, satlab.generators.causal; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_command_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content = {"family": "causal", "model": str(folder), "words": 5, "length": 6, "temperature": 2}
    (tmp_path / "net.yaml").write_text(yaml.safe_dump(content))
    train = "--model bert-1x8 --steps 4 --batch_size 8 --evaluate_every 2 --evaluation_sentences 20"
    assert cli.run(shlex.split("floor net.yaml --sentences 20 --max_length 3")) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["max_length"] == 3
    assert 0 < row["floor_nats"] < math.log(5)
    generate = "generate net.yaml --sentences 20 --out corpus --truth"
    for line in (generate, f"train net.yaml --max_length 3 --out run {train}", "evaluate run"):
        assert cli.run(shlex.split(line)) == 0
    assert (tmp_path / "corpus" / "language.yaml").is_file()
    assert cli.run(shlex.split("floor net.yaml --max_length 9")) == 2
    assert "net.yaml: length 9: expected 1 to 8 words" in capsys.readouterr().err
