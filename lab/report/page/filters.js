"use strict";

/** What the page shows at the moment. */
const chosen = { models: new Set(), algorithms: new Set(), from: -Infinity, to: Infinity, saturated: false };

/** Builds the filters; `changed` is called whenever one of them is. */
function filters(host, data, looks, changed) {
  const models = [...looks.models.keys()];
  const algorithms = [...looks.shapes.keys()];
  const steps = [...new Set(data.checkpoints.map((row) => row.step))].sort((a, b) => a - b);
  chosen.models = new Set(models);
  chosen.algorithms = new Set(algorithms);
  host.append(
    choices("Model", "model", models, chosen.models, (name) => swatch("circle", looks.models.get(name)), changed),
  );
  host.append(
    choices(
      "Algorithm",
      "algorithm",
      algorithms,
      chosen.algorithms,
      (name) => swatch(looks.shapes.get(name), { color: 7, round: 0 }),
      changed,
    ),
  );
  if (steps.length) {
    // At its outermost step an end leaves all in: curves begin before the first checkpoint.
    const ends = [
      ["from", steps[0], -Infinity],
      ["to", steps[steps.length - 1], Infinity],
    ].map(([end, value, all]) => {
      const options = steps.map((step) => element("option", { value: step, selected: step === value }, short(step)));
      const select = element("select", { name: end }, ...options);
      select.addEventListener("change", () => {
        chosen[end] = Number(select.value) === value ? all : Number(select.value);
        changed();
      });
      return element("label", {}, end, select);
    });
    host.append(element("fieldset", {}, element("legend", {}, "Step"), ...ends));
  }
  const only = toggle("saturated", "saturated only", false, (on) => {
    chosen.saturated = on;
    changed();
  });
  host.append(element("fieldset", {}, element("legend", {}, "Checkpoints"), only));
  host.append(element("p", { class: "count", role: "status" }));
  host.addEventListener("submit", (event) => event.preventDefault());
}

function choices(title, name, values, set, picture, changed) {
  const boxes = values.map((value) => {
    const box = element("input", { type: "checkbox", name, value, checked: true });
    box.addEventListener("change", () => {
      if (box.checked) set.add(value);
      else set.delete(value);
      changed();
    });
    return element("label", {}, box, picture(value), value);
  });
  return element("fieldset", {}, element("legend", {}, title), ...boxes);
}

function toggle(name, title, on, changed) {
  const box = element("input", { type: "checkbox", name, checked: on });
  box.addEventListener("change", () => changed(box.checked));
  return element("label", {}, box, title);
}

function swatch(shape, { color, round }) {
  const filled = drawn("g", { class: `color${color}` }, symbol(shape, false, 8, 8, round));
  return drawn("svg", { class: "swatch", viewBox: "0 0 16 16", "aria-hidden": true }, filled);
}

const runChosen = (run) => chosen.models.has(run.model) && chosen.algorithms.has(run.algorithm);

const stepChosen = (step) => step >= chosen.from && step <= chosen.to;

const checkpointChosen = (row, run) =>
  runChosen(run) && stepChosen(row.step) && (!chosen.saturated || row.saturated);

/** Whether anything of a run is shown: of "saturated only" what has a saturated checkpoint, or ends saturated. */
const runShown = (run) =>
  runChosen(run) &&
  (!chosen.saturated || run.saturated || data.checkpoints.some((row) => row.run === run.name && row.saturated));
