"""Who may import whom, and what no module may use; read off the source of every module."""

import ast
import configparser
import re
import sys
from functools import cache
from pathlib import Path

import satlab

ROOT = Path(satlab.__file__).parent
LEAVES = ("errors", "estimate", "randomness", "lazy", "registry", "settings", "spec")
BELOW = {
    "system": {"root"},
    "generators": {"root", "system"},
    "models": {"root", "system", "generators"},
    "train": {"root", "system", "generators", "models"},
    "probes": {"root", "system", "generators", "models"},
    "flatness": {"root", "system", "generators", "models"},
    "theory": {"root", "system", "generators", "models", "train", "probes", "flatness"},
    "lab": {"root", "system", "generators", "models", "train", "probes", "flatness", "theory"},
}
"""layer -> the layers it may import from, beside itself; the root's own modules import one another alone."""

DRAWS = ("rand", "randn", "randint", "randperm", "multinomial", "bernoulli", "normal")
IN_PLACE = ("normal_", "uniform_", "random_", "bernoulli_", "exponential_", "cauchy_", "geometric_", "log_normal_")


def modules():
    """{dotted name below satlab: path} of every module of the package."""
    paths = [*ROOT.glob("*.py"), *(path for layer in BELOW for path in (ROOT / layer).rglob("*.py"))]
    names = {}
    for path in sorted(paths):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts)] = path
    return names


def layer_of(dotted):
    """The layer of satlab.<dotted>: a folder's name, root for the modules beside the folders."""
    first = dotted.split(".")[0]
    return first if first in BELOW else "root"


MODULES = modules()
LAYERED = [name for name in MODULES if layer_of(name) != "root"]


def of_each(names):
    """A test of one module as one of all these, which is quicker than a test for each."""

    def over(test):
        def all_of_them():
            wrong = []
            for name in names:
                try:
                    test(name)
                except AssertionError as error:
                    error.add_note(f"in the module {name}")
                    wrong.append(error)
            if wrong:
                raise ExceptionGroup(f"{len(wrong)} of {len(names)} modules", wrong)

        all_of_them.__name__, all_of_them.__doc__ = test.__name__, test.__doc__
        return all_of_them

    return over


@cache
def tree_of(name):
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def resolved(name, node):
    """What an import statement names, below satlab ("" for the package itself); nothing for other packages."""
    if isinstance(node, ast.Import):
        full = [alias.name for alias in node.names]
    else:
        base = node.module or ""
        if node.level:
            package = ["satlab", *name.split(".")][: -node.level]
            base = ".".join([*package, base]).rstrip(".")
        # `from . import x` may name a module or an attribute; either way it lies in that package's layer or below.
        full = [f"{base}.{alias.name}" for alias in node.names]
    return [dotted.partition(".")[2] for dotted in full if dotted.split(".")[0] == "satlab"]


def internal_imports(name):
    found = set()
    for node in ast.walk(tree_of(name)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(resolved(name, node))
    return found


def outside_imports(name):
    found = set()
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def dotted(node):
    """a.b.c of an attribute chain, with what cannot be named left as "?"."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def calls(tree):
    return [(dotted(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_the_modules_and_their_imports_are_seen():
    seen = {
        "errors",
        "generators.hmm.language",
        "models.networks.bert",
        "train.trainer",
        "probes.linear",
        "flatness.trace",
    }
    assert seen <= set(MODULES)
    assert "estimate.Estimate" in internal_imports("generators.batches")
    assert "checkpoint" in {dotted.split(".")[1] for dotted in internal_imports("train.session") if "train." in dotted}
    assert "generators.batches.make_batch" in internal_imports("flatness.problem")
    assert "system.disk.flush" in internal_imports("train.checkpoint")


def test_every_folder_with_code_is_installed():
    listed = configparser.ConfigParser()
    listed.read(ROOT / "setup.cfg")
    folders = {"satlab." + ".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("*/**/__init__.py")}
    ours = {name for name in folders if name.split(".")[1] in BELOW}
    assert set(listed["options"]["packages"].split()) == {"satlab", *ours}


def test_every_folder_of_the_package_is_a_known_layer():
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == set(BELOW)


@of_each(LAYERED)
def test_a_layer_imports_only_what_lies_below_it(name):
    allowed = BELOW[layer_of(name)] | {layer_of(name)}
    wrong = {imported for imported in internal_imports(name) if layer_of(imported) not in allowed}
    assert wrong == set()


@of_each(LEAVES)
def test_the_root_modules_import_only_one_another(name):
    assert {imported.split(".")[0] for imported in internal_imports(name)} <= set(LEAVES)


@of_each(LAYERED)
def test_of_the_root_only_its_shared_modules_and_the_version_are_imported(name):
    of_root = {imported.split(".")[0] for imported in internal_imports(name) if layer_of(imported) == "root"}
    assert of_root <= {*LEAVES, "__version__"}


def test_every_package_that_is_imported_is_named():
    """Each in install_requires or an extra, under the name that the registry knows it by."""
    listed = configparser.ConfigParser()
    listed.read(ROOT / "setup.cfg")
    lines = [listed["options"]["install_requires"], *listed["options.extras_require"].values()]
    named = {re.match(r"[\w-]+", line)[0].lower().replace("-", "_") for text in lines for line in text.split()}
    used = {module.split(".")[0] for name in MODULES for module in outside_imports(name)}
    ours = {"yaml": "pyyaml", "huggingface_hub": "transformers", "llvmlite": "numba"}
    wrong = {ours.get(package, package) for package in used - sys.stdlib_module_names - {"satlab"}} - named
    assert wrong == set()


@of_each(MODULES)
def test_a_file_and_a_function_can_be_read_at_once(name):
    """A function's lines are counted without its docstring."""
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 310
    for node in ast.walk(tree_of(name)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            said = node.body[0] if ast.get_docstring(node) is not None else None
            lines = node.end_lineno - node.lineno - (said.end_lineno - said.lineno if said else -1)
            assert lines <= 50, f"{node.name} has {lines} lines"


@of_each(MODULES)
def test_nothing_is_loaded_that_could_run(name):
    imported = outside_imports(name)
    roots = {module.split(".")[0] for module in imported}
    assert not roots & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    assert not imported & {"torch.load", "torch.save", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
    for called, node in calls(tree_of(name)):
        assert called not in {"eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec"}
        assert called not in {"torch.load", "torch.save", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
        if called.endswith(("np.load", "numpy.load", "format.read_array")):
            pickled = {keyword.arg: keyword.value for keyword in node.keywords}["allow_pickle"]
            assert isinstance(pickled, ast.Constant)
            assert pickled.value is False


@of_each(MODULES)
def test_no_global_random_state_is_read_or_seeded(name):
    roots = {module.split(".")[0] for module in outside_imports(name)}
    assert "random" not in roots
    for called, node in calls(tree_of(name)):
        assert not called.endswith(("np.random.seed", "numpy.random.seed", "random.seed", "torch.seed"))
        if ".random." in called and called.split(".")[0] in ("np", "numpy"):
            assert called.split(".")[-1] in ("Generator", "PCG64", "SeedSequence")
        last = called.split(".")[-1]
        draws = called in {f"torch.{draw}" for draw in DRAWS} or (last in IN_PLACE and called != last)
        if draws:
            assert "generator" in {keyword.arg for keyword in node.keywords}, f"{called}, line {node.lineno}"


@of_each(MODULES)
def test_torch_is_seeded_only_for_dropout_and_only_in_a_forked_state(name):
    tree = tree_of(name)
    seeding = [node for called, node in calls(tree) if called in ("torch.manual_seed", "torch.random.manual_seed")]
    protected = {
        id(inner)
        for block in ast.walk(tree)
        if isinstance(block, ast.With)
        and any(dotted(getattr(item.context_expr, "func", None)).endswith("fork_rng") for item in block.items)
        for inner in ast.walk(block)
    }
    assert all(id(node) in protected for node in seeding)
    assert len(seeding) == (1 if name in ("train.step", "probes.fine_tune") else 0)
