"""Runs and rows of results written by hand, and published numbers beside them."""

from types import SimpleNamespace

TASKS = ["A", "B"]


MODELS = {"plain": {}, "spoilt": {}}


def run(name, seed, parent, steps=(10, 20, 40)):
    folder = parent / f"{name}-seed{seed}"
    metrics = [
        {"step": s, "kl": 1.0, "kl_stderr": 0.1, "n": 5, "since_saturation": None if s < 20 else s - 20} for s in steps
    ]
    config = SimpleNamespace(seed=seed, threshold=0.02, stop_at_saturation=False)
    return SimpleNamespace(folder=folder, model="bert-1x8", config=config, metrics=metrics)


def row(run, step, what, value, stderr=0.001, **more):
    base = {"run": run.folder.name, "model": run.model, "parameters": 100, "seed": run.config.seed}
    values = {"step": step, "what": what, "value": value, "stderr": stderr, "n": 50, "settings": "{}", "task": None}
    method = {"kl": "exact-truth", "probe": "linear"}.get(what, "sampled-gradient")
    return (
        base
        | values
        | {"method": method, "block": None, "floor": 2.5 if what == "kl" else None}
        | ({"floor_stderr": 0.004} if what == "kl" else {})
        | more
    )


def measured(parent):
    """(runs, rows): two models of two seeds; plain is saturated from step 20 on, spoilt never in its seed 1."""
    runs = [run(name, seed, parent) for name in MODELS for seed in (0, 1)]
    rows = []
    for one in runs:
        spoilt = one.folder.name.startswith("spoilt")
        for step in (10, 20, 40):
            kl = 0.5 if step < 20 or (spoilt and one.config.seed == 1) else 0.3 / step
            rows.append(row(one, step, "kl", kl))
            for number, task in enumerate(TASKS):
                accuracy = 0.5 + step / 100 + 0.01 * one.config.seed + 0.1 * number - (0.2 if spoilt else 0.0)
                rows.append(row(one, step, "probe", accuracy, task=task))
            for what, factor in (("hessian_trace", 1.0), ("hessian_trace_enlarged", 0.5)):
                for block, share in (("total", 1.0), ("norm", 0.25), ("weight", 0.75)):
                    rows.append(row(one, step, what, factor * share * 800 / step, block=block))
    rows.append(
        {"run": None, "step": None, "what": "probe", "method": "lookup", "task": "A", "value": 0.7}
        | {"stderr": 0.01, "n": 3, "settings": "{}"}
    )
    rows.append(rows[-1] | {"method": "bayes", "value": 0.8})
    return runs, rows


def entry(**changes):
    return {"quantity": "accuracy", "task": "A", "model": "plain", "value": 0.9, "source": "Table 1"} | changes


def with_adamw(rows, names=("plain", "spoilt")):
    """The rows, and probes of these models by linear-adamw with a look-up table beside them, each 0.3 lower."""
    chosen = [r for r in rows if r["method"] == "linear" and r["run"].split("-")[0] in names]
    more = [r | {"method": "linear-adamw", "value": r["value"] - 0.3, "settings": '{"epochs": 3}'} for r in chosen]
    table = [r for r in rows if r["method"] == "lookup"]
    return rows + more + [r | {"beside": "linear-adamw", "value": 0.4, "settings": '{"epochs": 3}'} for r in table]
