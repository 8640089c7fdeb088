"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const runs = new Map(data.runs.map((run) => [run.name, run]));
const BASELINES = { majority: "majority class", lookup: "look-up table", bayes: "Bayes optimum" };
const NINETY = 1.6448536269514722;
const mixed = data.versions.length > 1;
const settings = { trace: null, accuracySteps: true, farBaselines: false, curveSteps: false, kl: true };
const looks = appearance();

/** A colour for each model, smallest first, and a shape for each algorithm. */
function appearance() {
  const bySize = [...data.runs].sort((a, b) => (a.parameters || 0) - (b.parameters || 0));
  const models = [...new Set(bySize.map((run) => run.model))];
  const algorithms = [...new Set(data.runs.map((run) => run.algorithm))].sort();
  const shapes = Object.keys(SHAPES);
  return {
    colors: new Map(models.map((model, i) => [model, i % 8])),
    shapes: new Map(algorithms.map((name, i) => [name, shapes[i % shapes.length]])),
  };
}

const look = (run) => ({ color: looks.colors.get(run.model), shape: looks.shapes.get(run.algorithm) });
const yesNo = (value) => (value ? "yes" : "no");
const shown = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));
const counted = (estimate) =>
  isNumber(estimate.n) ? `${withError(estimate)} (n = ${short(estimate.n)})` : withError(estimate);
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
  facts.push(["seed", String(run.seed)], ...Object.entries(run.differs).map(([key, value]) => [key, shown(value)]));
  if (mixed) facts.push(["satlab", row.satlab]);
  return [run.name, facts];
}
