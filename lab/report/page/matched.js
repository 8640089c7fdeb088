"use strict";

/** A pair of checkpoints of different runs whose KL agrees, as a point. */
function pairPoint(pair) {
  const facts = ["flatter", "sharper"].flatMap((name) => [
    [name, `${pair[name]}, step ${short(pair[`${name}_step`])}`],
    ["KL, nats", short(pair[`${name}_kl`])],
    ["Tr(H)", short(pair[`${name}_trace`])],
    ["accuracy", short(pair[`${name}_accuracy`])],
  ]);
  return {
    x: pair.halvings,
    xe: pair.halvings_stderr,
    y: pair.gain,
    ye: pair.gain_stderr,
    shape: pair.same_model ? "circle" : "square",
    hollow: !pair.saturated,
    about: [pair.same_model ? "one model" : "different models", facts],
  };
}

/** The figure of a task's probe with its numbers in words. */
function matchedFigure({ task, words, pairs, count }) {
  const few = pairs.length < count ? [`Drawn: ${short(pairs.length)} of ${short(count)} pairs.`] : [];
  const series = [true, false].map((same) => ({
    color: same ? 0 : 1,
    round: 0,
    path: null,
    points: pairs.filter((pair) => pair.same_model === same).map(pairPoint),
  }));
  return figure(`Task ${task}`, [...words, ...few], {
    name: `Accuracy against flatness at the same KL, task ${task}`,
    x: { label: "halvings of Tr(H) from the sharper to the flatter one", log: false, among: [0] },
    y: { label: "accuracy, flatter minus sharper", log: false, among: [0] },
    series: series.filter((one) => one.points.length),
    levels: [{ value: 0, kind: "threshold", label: "equally accurate" }],
    height: 360,
  });
}

function matchedTable() {
  const columns = [
    word("task", "task"),
    word("probe", "probe"),
    word("by", "by"),
    word("among", "among"),
    { ...word("of", "of"), wrap: true },
    word("statistic", "statistic"),
    number("value", (row) => (isNumber(row.value) ? row.value : null), 2),
    {
      name: "95 % interval",
      number: true,
      show: (row) => (isNumber(row.low) ? `[${short(row.low, 2)}, ${short(row.high, 2)}]` : "none"),
      by: (row) => row.low,
    },
    number("pairs", (row) => row.pairs),
    number("strata", (row) => row.strata),
    number("checkpoints", (row) => row.checkpoints),
    number("runs", (row) => row.runs),
    { name: "note", show: noteOf, by: noteOf, wrap: true },
    ...versions,
  ];
  table(document.getElementById("matched-table"), "Pairs of checkpoints of different runs", columns, data.matched.rows);
}

const noteOf = (row) => [row.note, row.remark].filter((part) => part).join("; ");

/** What accuracy and flatness have to do with one another where KL is the same; of a single run there is nothing. */
function matchedSection() {
  if (!data.matched.panels.length) return;
  document.getElementById("matched-section").hidden = false;
  const known = data.matched.panels.filter((panel) => panel.count);
  const said = data.matched.panels.filter((panel) => !panel.count);
  const lines = said.map((panel) => element("p", { class: "words" }, `Task ${panel.task}: ${panel.words[0]}`));
  document.getElementById("matched-none").append(...lines);
  show("matched", known.map(matchedFigure));
  if (known.length) matchedTable();
}
