"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const runs = new Map(data.runs.map((run) => [run.name, run]));
const BASELINES = { majority: "majority class", lookup: "look-up table", bayes: "Bayes optimum" };
const NINETY = 1.6448536269514722;
const mixed = data.versions.length > 1;
const settings = { trace: null, accuracySteps: true, farBaselines: false, curveSteps: false, kl: true };
const looks = appearance();

/** A colour for each model, smallest first, from the ninth on again with a ring or a dash; a shape for each algorithm. */
function appearance() {
  const bySize = [...data.runs].sort((a, b) => (a.parameters || 0) - (b.parameters || 0));
  const models = [...new Set(bySize.map((run) => run.model))];
  const algorithms = [...new Set(data.runs.map((run) => run.algorithm))].sort();
  const shapes = Object.keys(SHAPES);
  return {
    models: new Map(models.map((model, i) => [model, { color: i % 8, round: Math.floor(i / 8) }])),
    shapes: new Map(algorithms.map((name, i) => [name, shapes[i % shapes.length]])),
  };
}

const look = (run) => ({ ...looks.models.get(run.model), shape: looks.shapes.get(run.algorithm) });
const yesNo = (value) => (value ? "yes" : "no");
const shown = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));
const counted = (estimate) =>
  isNumber(estimate.n) ? `${withError(estimate)} (n = ${short(estimate.n)})` : withError(estimate);
/** A sentence of the terminal with the signs of print. */
const printed = (text) => text.replaceAll(" +- ", " ± ").replace(/(?<=[ [(])-(?=\d)/g, "−");
const linked = (file) => element("a", { href: file.link }, file.name);

function about(row, run, task) {
  const facts = [
    ["model", isNumber(run.parameters) ? `${run.model}, ${short(run.parameters)} parameters` : run.model],
    ["algorithm", run.algorithm],
    ["step", short(row.step)],
    ["saturated", row.saturated ? "yes" : "NO"],
    ["KL, nats", counted(row.kl)],
  ];
  if (row.trace.value !== null) facts.push(["Tr(H)", counted(row.trace)]);
  if (task && row.accuracy[task]) facts.push([`accuracy ${task}`, counted(row.accuracy[task])]);
  facts.push(...differing(run));
  if (mixed) facts.push(["satlab", row.satlab]);
  return [run.name, facts, settingsOf(run)];
}

/** In which settings a run differs from others. */
const differing = (run) => Object.entries(run.differs).map(([key, value]) => [key, shown(value)]);

const FIRST = ["lr", "batch_size", "optimizer", "steps", "seed"];

/** All settings of a run but those that differ, the most asked for first, in one text. */
function settingsOf(run) {
  const left = Object.keys(run.config).filter((key) => !(key in run.differs));
  const ordered = [...FIRST.filter((key) => left.includes(key)), ...left.filter((key) => !FIRST.includes(key))];
  return ordered.map((key) => `${key} ${shown(run.config[key])}`).join(" · ");
}
