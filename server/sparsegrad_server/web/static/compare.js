// The principal angles of one group.

import { drawLines } from "./charts.js";

const data = document.getElementById("angles-data");
const picker = document.getElementById("angles-group");
const place = document.getElementById("angles-chart");
let chart = null;

function draw() {
  const sides = Object.entries(JSON.parse(data.textContent)[picker.value]);
  const most = Math.max(...sides.map(([, angles]) => angles.length));
  chart?.remove();
  chart = drawLines(place, {
    data: [
      Array.from({ length: most }, (_, at) => at + 1),
      ...sides.map(([, angles]) => Array.from({ length: most }, (_, at) => angles[at] ?? null)),
    ],
    lines: sides.map(([name]) => name),
    x: { label: "Angle number" },
    y: { label: "Degrees", range: [0, 92], format: (value) => `${value}°` },
    read: (value) => `${value.toFixed(1)}°`,
  });
}

if (data) {
  picker.addEventListener("change", draw);
  draw();
}
