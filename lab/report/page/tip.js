"use strict";

/** What a point is, beside it; `settings`, all of its run's, in small below. */
function showTip([title, facts, settings], px, py) {
  const tip = document.getElementById("tooltip");
  const rows = facts.flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, value)]);
  tip.replaceChildren(element("b", {}, title), element("dl", {}, ...rows));
  if (settings) tip.append(element("p", { class: "settings" }, settings));
  tip.hidden = false;
  tip.style.left = tip.style.top = "0";
  const box = tip.getBoundingClientRect();
  const room = document.documentElement.clientWidth;
  const leftward = px + 14 + box.width > room ? px - 14 - box.width : px + 14;
  tip.style.left = `${Math.max(4, Math.min(leftward, room - box.width - 4))}px`;
  const below = py + 14 + box.height > window.innerHeight ? py - 14 - box.height : py + 14;
  tip.style.top = `${Math.max(4, below)}px`;
}

function hideTip() {
  document.getElementById("tooltip").hidden = true;
}

document.addEventListener("pointerdown", (event) => event.target.closest(".point") || hideTip());
document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());

/** Arrow keys go along a line from point to point, Home and End to its ends. */
function walk(event) {
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  const line = event.currentTarget.dataset.line;
  const points = [...event.currentTarget.parentNode.querySelectorAll(".point")].filter((p) => p.dataset.line === line);
  const place = points.indexOf(event.currentTarget) + step;
  points[Math.max(0, Math.min(points.length - 1, place))].focus();
}
