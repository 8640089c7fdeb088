"use strict";

const unsaturated = () => element("span", { class: "mark" }, "(not saturated)");
const word = (name, key) => ({ name, show: (row) => shown(row[key] ?? ""), by: (row) => row[key] });
const number = (name, get, digits) => ({ name, number: true, show: (row) => short(get(row), digits), by: get });
const estimate = (name, get) => ({
  name,
  number: true,
  show: (row) => withError(get(row)),
  by: (row) => get(row)?.value,
});
const truth = (name, get) => ({
  name,
  show: (row) => (get(row) ? "yes" : element("span", { class: "mark" }, "NO")),
  by: (row) => Number(get(row)),
});
const versions = mixed ? [word("satlab", "satlab")] : [];

function resultsTable() {
  const columns = [
    { name: "run", show: (row) => element("a", { href: runs.get(row.run).link }, row.run), by: (row) => row.run },
    number("step", (row) => row.step),
    { name: "algorithm", show: (row) => runs.get(row.run).algorithm, by: (row) => runs.get(row.run).algorithm },
    estimate("KL, nats", (row) => row.kl),
    { name: "KL from", show: (row) => (row.fresh ? "fresh sentences" : "training"), by: (row) => Number(row.fresh) },
    truth("saturated", (row) => row.saturated),
    estimate("Tr(H)", (row) => row.trace),
    number("contexts", (row) => row.trace.n),
    ...data.tasks.map((task) => estimate(`accuracy ${task}`, (row) => row.accuracy[task])),
    ...versions,
  ];
  return table(
    document.getElementById("results"),
    "One row a checkpoint, as the filters leave them",
    columns,
    data.checkpoints,
  );
}

function runsTable() {
  const differing = Object.keys(data.runs[0].differs);
  const columns = [
    { name: "run", show: (run) => element("a", { href: run.link }, run.name), by: (run) => run.name },
    word("model", "model"),
    number("parameters", (run) => run.parameters),
    number("seed", (run) => run.seed),
    word("algorithm", "algorithm"),
    ...differing.map((key) => ({
      name: key,
      show: (run) => shown(run.differs[key] ?? "none"),
      by: (run) => (isNumber(run.differs[key]) ? run.differs[key] : shown(run.differs[key])),
    })),
    number("last step", (run) => run.step),
    estimate("KL, nats", (run) => ({ value: run.kl, stderr: run.kl_stderr })),
    truth("saturated", (run) => run.saturated),
    number("saturated first", (run) => run.saturated_from),
    { name: "files", show: (run) => run.files.map(linked), by: (run) => run.files.length },
    { name: "all settings", show: allSettings, by: (run) => run.name },
  ];
  return table(document.getElementById("runs"), "Settings in which the runs differ have a column", columns, data.runs);
}

function allSettings(run) {
  const lines = Object.entries(run.config).map(([key, value]) => `${key}: ${shown(value)}`);
  return element(
    "details",
    {},
    element("summary", {}, `${lines.length} settings`),
    element("pre", {}, lines.join("\n")),
  );
}

function among(row) {
  return [row.among, row.model, row.across].filter((part) => part).join(", ");
}

/** The same, marked where some of the checkpoints are not saturated. */
function amongMarked(row) {
  const mark = element("span", { class: "mark" }, ` (${row.unsaturated} not saturated)`);
  return row.unsaturated ? [among(row), mark] : among(row);
}

/** What studies compared with a paper, as they wrote it beside the page. */
function publishedTable() {
  if (!data.published.length) return;
  document.getElementById("published-section").hidden = false;
  const ours = (row) => ({ value: row.ours, stderr: row.ours_stderr });
  const fewer = (row) => (row.n < row.seeds ? ` of ${row.seeds}` : "");
  const columns = [
    { name: "study", show: (row) => linked({ name: row.study, link: row.link }), by: (row) => row.study },
    { ...word("source", "source"), wrap: true },
    { ...word("what", "what"), wrap: true },
    {
      name: "published",
      number: true,
      show: (row) => String(row.published).replace("-", "−") + (row.published_stderr ? ` ± ${row.published_stderr}` : ""),
      by: (row) => row.published,
    },
    {
      name: "ours (n)",
      number: true,
      show: (row) =>
        row.ours === null ? "not measured" : withError(ours(row)) + (row.n === null ? "" : ` (n = ${row.n}${fewer(row)})`),
      by: (row) => row.ours,
    },
    {
      name: "ours − published",
      number: true,
      show: (row) => (row.difference > 0 ? "+" : "") + short(row.difference),
      by: (row) => row.difference,
    },
    truth("saturated", (row) => row.saturated),
    word("measured by", "method"),
    ...(new Set(data.published.map((row) => row.satlab)).size > 1 || mixed ? [word("satlab", "satlab")] : []),
  ];
  table(document.getElementById("published"), "As satlab study last compared them", columns, data.published);
}

/** Tr(H) under rescalings of the weights that no prediction sees, where it was measured. */
function rescaledTable() {
  if (!data.rescaled.length) return;
  const host = document.getElementById("rescaled");
  const blocks = [...new Set(data.rescaled.flatMap((row) => Object.keys(row.blocks)))].sort();
  const columns = [
    word("run", "run"),
    number("step", (row) => row.step),
    number("factor", (row) => Number(row.alpha)),
    estimate("Tr(H)", (row) => row.trace),
    ...blocks.map((block) => estimate(block, (row) => row.blocks[block])),
  ];
  const inside = element("div");
  const words = data.rescaled_words.map((text) => element("p", { class: "words" }, printed(text)));
  host.append(element("h3", {}, "The same predictions from rescaled weights"), ...words, inside);
  table(inside, "Tr(H) in total and of each kind of parameter", columns, data.rescaled);
}

function otherTables() {
  const correlations = [
    word("task", "task"),
    word("probe", "probe"),
    word("Tr(H) by", "estimator"),
    { name: "among", show: amongMarked, by: among, wrap: true },
    {
      name: "coefficient",
      show: (row) => (row.given ? `${row.method} given ${row.given}` : row.method),
      by: (row) => row.method + row.given,
    },
    number("value", (row) => (isNumber(row.value) ? row.value : null), 2),
    {
      name: "95 % interval",
      number: true,
      show: (row) => `[${short(row.low, 2)}, ${short(row.high, 2)}]`,
      by: (row) => row.low,
    },
    number("models", (row) => row.n),
    number("runs", (row) => row.runs),
    { ...word("note", "note"), wrap: true },
    ...versions,
  ];
  table(document.getElementById("correlations"), "Models: the checkpoints that count", correlations, data.correlations);
  const baselines = [
    word("task", "task"),
    { name: "baseline", show: (row) => BASELINES[row.method] || row.method, by: (row) => row.method },
    estimate("accuracy", (row) => row),
    number("n", (row) => row.n),
    ...versions,
  ];
  table(document.getElementById("baselines"), "What stands beside every probe", baselines, data.baselines);
}

/** Made when it is first opened: it may be long. */
function measurementsTable() {
  const known = (key) => data.measurements.some((row) => row[key] !== null);
  const words = ["run", "step", "what", "method", "task", "block", "layer", "position"].filter(known);
  const columns = [
    ...words.map((key) => word(key, key)),
    estimate("value", (row) => row),
    number("n", (row) => row.n),
    word("unit", "unit"),
    { ...word("settings", "settings"), wrap: true },
    word("satlab", "satlab"),
  ];
  const fold = document.getElementById("all");
  const host = document.getElementById("measurements");
  const make = () =>
    fold.open &&
    !host.hasChildNodes() &&
    table(host, `${short(data.measurements.length)} rows`, columns, data.measurements);
  fold.addEventListener("toggle", make);
}
