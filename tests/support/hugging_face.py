"""Small causal networks with random weights in Hugging Face's format, with a tokenizer whose tokens are words."""

import torch

WORDS = [
    *("the", "film", "plot", "end", "was", "is", "and", "a", "good", "great", "fine", "bad", "awful", "dull"),
    *("long", "short", "it", "does", "this", "answer", "that", "question"),
]
SPECIAL = ["<s>", "<pad>", "<unk>"]


def write_network(folder, kind="gpt2", words=WORDS, tokenizer=True, positions=24):
    """A network of 16 features that reads these words, written to the folder; its path."""
    import transformers

    known = [*SPECIAL, *words]
    if kind == "opt":
        shape = {"hidden_size": 16, "word_embed_proj_dim": 16, "ffn_dim": 32, "max_position_embeddings": positions}
        sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "init_std": 0.5}
        config = transformers.OPTConfig(
            vocab_size=len(known), bos_token_id=0, eos_token_id=0, pad_token_id=1, **shape, **sizes
        )
    else:
        shape = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": positions, "initializer_range": 0.5}
        config = transformers.GPT2Config(vocab_size=len(known), bos_token_id=0, eos_token_id=0, **shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    if tokenizer:
        write_tokenizer(folder, known, begins=kind == "opt")
    return folder


def write_tokenizer(folder, known, begins):
    """A tokenizer that splits at blanks; OPT's puts a token before every text, as the real one does."""
    import tokenizers
    import transformers

    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(known)}, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    if begins:
        made.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    special = {"bos_token": "<s>", "eos_token": "<s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, **special).save_pretrained(folder)


def labelled_rows(count):
    """count texts of these words with their labels, half of each class: 1 where the adjective is a good one."""
    good, bad = ("good", "great", "fine"), ("bad", "awful", "dull")
    rows = []
    for number in range(count):
        word = (bad, good)[number % 2][number // 2 % 3]
        rows.append((f"the {('film', 'plot', 'end')[number % 3]} was {word}" + " and long" * (number % 4), number % 2))
    return rows


def write_tsv(path, count=24, names="sentence\tlabel\n"):
    """A file of such texts as GLUE writes SST-2; its path."""
    path.write_text(names + "".join(f"{text}\t{label}\n" for text, label in labelled_rows(count)))
    return path
