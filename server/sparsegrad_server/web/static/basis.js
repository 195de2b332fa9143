// The pictures of one group of a basis, and of the next one when another is picked.

import { drawLines, joined } from "./charts.js";
import { drawSample } from "./heatmap.js";
import { announce } from "./page.js";

let shown = [];

const percent = (value) => `${(100 * value).toFixed(1)}%`;
const whole = (value) => String(Math.round(value));
const sides = ["Input", "Output"];

function drawSpectra(group) {
  const spectra = [group.spectrum_in, group.spectrum_out];
  const x = { label: "Rank", log: true, range: (_chart, low, high) => [low, high] };
  shown.push(
    drawLines(document.getElementById("spectrum-chart"), {
      data: joined(
        spectra.map(({ ranks, eigenvalues }) => ({
          x: ranks,
          // A logarithm has no place for what is zero, or is zero but for round-off.
          y: eigenvalues.map((value) => (value > 1e-12 * eigenvalues[0] ? value / eigenvalues[0] : null)),
        })),
      ),
      lines: sides,
      x,
      y: { label: "Eigenvalue, share of the largest", log: true },
      read: (value) => value.toExponential(1),
    }),
    drawLines(document.getElementById("energy-chart"), {
      data: joined(spectra.map(({ ranks, energy }) => ({ x: ranks, y: energy }))),
      lines: sides,
      x,
      y: { label: "Share of the energy", range: [0, 1], format: (value) => `${whole(100 * value)}%` },
      read: percent,
    }),
  );
}

function draw() {
  for (const picture of shown) picture.remove();
  shown = [];
  const data = document.getElementById("group-data");
  if (!data) return;
  const group = JSON.parse(data.textContent);
  drawSpectra(group);
  if (group.sample) {
    const remove = drawSample(group.sample, {
      original: document.getElementById("map-original"),
      basis: document.getElementById("map-basis"),
      legend: document.getElementById("map-legend"),
      range: document.getElementById("map-range"),
    });
    shown.push({ remove });
  }
}

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id !== "group") return;
  draw();
  announce(`Group ${document.getElementById("group-title").textContent} is shown`);
});
draw();
