"use strict";

function axes(id, titles, draw) {
  const boxes = Object.entries(titles).map(([key, title]) =>
    toggle(key, title, settings[key], (on) => {
      settings[key] = on;
      draw();
    }),
  );
  document.getElementById(id).append(...boxes);
}

function start() {
  document.getElementById("notices").append(...data.notices.map((text) => element("li", {}, printed(text))));
  const versions = `measured by satlab ${data.versions.join(", ") || "(nothing yet)"}, page by ${data.satlab}`;
  const counts = `${data.runs.length} runs, ${data.checkpoints.length} measured checkpoints`;
  document.getElementById("facts").append(`Language ${data.language}; ${counts}; ${versions}.`);
  document.getElementById("files").append(...data.files.map((file) => element("li", {}, linked(file))));
  let showResults = () => {};
  const changed = () => {
    const rows = data.checkpoints.filter((row) => checkpointChosen(row, runs.get(row.run)));
    const left = data.runs.filter(runShown).length;
    const count = `${rows.length} of ${data.checkpoints.length} checkpoints, ${left} of ${data.runs.length} runs`;
    document.querySelector("#filters .count").textContent = count;
    for (const draw of [drawFlatness, drawCurves, drawProbes]) draw();
    showResults(rows);
  };
  filters(document.getElementById("filters"), data, looks, changed);
  showResults = resultsTable();
  runsTable();
  otherTables();
  matchedSection();
  publishedTable();
  rescaledTable();
  measurementsTable();
  changed();
  axes("flatness-axes", { trace: "Tr(H) logarithmic" }, drawFlatness);
  axes("curves-axes", { kl: "KL logarithmic", curveSteps: "steps logarithmic" }, drawCurves);
  axes(
    "probes-axes",
    { accuracySteps: "steps logarithmic", farBaselines: "baselines far from all points too" },
    drawProbes,
  );
}

start();
