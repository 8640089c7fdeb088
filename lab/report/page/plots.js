"use strict";

/** A series for each run: its chosen checkpoints as points, where x and y were measured. */
function seriesOf(task, x, path) {
  return data.runs.map((run) => {
    const { color, round, shape } = look(run);
    const rows = data.checkpoints.filter((row) => row.run === run.name && checkpointChosen(row, run));
    const points = rows
      .filter((row) => row.accuracy[task] && isNumber(row.accuracy[task].value) && isNumber(x(row).value))
      .map((row) => {
        const y = row.accuracy[task];
        return {
          x: x(row).value,
          xe: x(row).stderr,
          y: y.value,
          ye: y.stderr,
          shape,
          hollow: !row.saturated,
          about: about(row, run, task),
        };
      });
    return { color, round, path, points };
  });
}

/** A task's baselines; for the narrow plot those near its points, so that they do not squeeze them. */
function levelsOf(task, near) {
  const lines = data.baselines.filter((row) => row.task === task && isNumber(row.value));
  const values = data.checkpoints.map((row) => row.accuracy[task]?.value).filter(isNumber);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max(high - low, 0.02);
  const kept = near ? lines.filter((row) => row.value >= low - room && row.value <= high + room) : lines;
  return kept.map((row) => ({
    value: row.value,
    kind: row.method,
    label: `${BASELINES[row.method] || row.method} ${short(row.value)}`,
  }));
}

function figure(title, words, spec, wide) {
  const host = element("div");
  const heading = element("h3", {}, ...(Array.isArray(title) ? title : [title]));
  const whole = element(
    "div",
    { class: wide ? "plot wide" : "plot" },
    heading,
    host,
    ...words.map((text) => element("p", { class: "words" }, printed(text))),
  );
  return { whole, draw: () => plot(host, spec) };
}

function show(id, figures) {
  document.getElementById(id).replaceChildren(...figures.map((made) => made.whole));
  for (const made of figures) made.draw();
}

/** How the numbers of a plot were measured, a sentence. */
function measuredBy(task, trace) {
  const known = [trace ? "Tr(H)" : null, task].filter((key) => key && data.shown[key]);
  const said = known.map((key) => `${key === task ? "accuracy" : key} by ${data.shown[key]}`);
  return said.length ? [`Measured: ${said.join("; ")}.`] : [];
}

function drawFlatness() {
  const traces = data.checkpoints.map((row) => row.trace.value).filter(isNumber);
  if (settings.trace === null)
    settings.trace = Math.min(...traces) > 0 && Math.max(...traces) > 3 * Math.min(...traces);
  const figures = data.tasks.map((task) => {
    const levels = levelsOf(task, true);
    const x = { label: "Tr(H), nats / parameter² (left: flatter)", log: settings.trace };
    const y = { label: `probe accuracy, task ${task}`, among: levels.map((level) => level.value) };
    const series = seriesOf(task, (row) => row.trace, "thin");
    return figure(`Task ${task}`, [...(data.words[task] || []), ...measuredBy(task, true)], {
      name: `Flatness and accuracy, task ${task}`,
      x,
      y,
      series,
      levels,
      height: 360,
    });
  });
  show("flatness", figures);
}

function drawProbes() {
  const figures = data.tasks.map((task) => {
    const levels = levelsOf(task, !settings.farBaselines);
    const x = { label: "training step", log: settings.accuracySteps };
    const y = { label: `probe accuracy, task ${task}`, among: levels.map((level) => level.value) };
    const series = seriesOf(task, (row) => ({ value: row.step, stderr: null }), "line");
    return figure(`Task ${task}`, measuredBy(task, false), {
      name: `Probe accuracy by step, task ${task}`,
      x,
      y,
      series,
      levels,
      height: 340,
    });
  });
  show("probes", figures);
}

function curve(run, band) {
  const rows = data.curves[run.name].filter((row) => isNumber(row.kl) && stepChosen(row.step));
  const points = rows.map((row) => {
    const kl = { value: row.kl, stderr: row.kl_stderr, n: row.n };
    const facts = [
      ["step", short(row.step)],
      ["KL, nats", counted(kl)],
      ["loss, nats", short(row.loss, 4)],
      ["saturated", yesNo(row.saturated)],
      ...differing(run),
    ];
    return {
      x: row.step,
      y: row.kl,
      ye: isNumber(row.kl_stderr) ? NINETY * row.kl_stderr : null,
      hollow: !row.saturated,
      about: [run.name, facts, settingsOf(run)],
    };
  });
  return { ...looks.models.get(run.model), path: "line", band, points };
}

/** All runs in one plot, then each by itself with its band, all on the same axes. */
function drawCurves() {
  const picked = data.runs.filter(runShown);
  const known = picked.flatMap((run) => curve(run, false).points);
  const thresholds = [...new Set(picked.map((run) => run.threshold))];
  const x = { label: "training step", log: settings.curveSteps, among: known.map((point) => point.x) };
  const y = {
    label: "KL, nats",
    log: settings.kl,
    among: [...known.flatMap((p) => [p.y, p.y - (p.ye || 0), p.y + (p.ye || 0)]), ...thresholds],
  };
  const levels = (values) =>
    values.map((value) => ({ value, kind: "threshold", label: `threshold ${trimmed(value)}` }));
  const figures = picked.map((run) => {
    const title = run.saturated
      ? [linked({ name: run.name, link: run.link })]
      : [linked({ name: run.name, link: run.link }), " ", unsaturated()];
    return figure(title, [], {
      name: `Learning curve of ${run.name}`,
      x,
      y,
      series: [curve(run, true)],
      levels: levels([run.threshold]),
      height: 240,
    });
  });
  if (picked.length > 1) {
    const series = picked.map((run) => curve(run, false));
    figures.unshift(
      figure(
        "All runs",
        [],
        { name: "Learning curves of all runs", x, y, series, levels: levels(thresholds), height: 340 },
        true,
      ),
    );
  }
  show("curves", figures);
}
