// One calibration as it goes on: its numbers, and the line of what arrives.

import { drawLines } from "./charts.js";
import { follow } from "./live.js";

const UNITS = ["B/s", "kB/s", "MB/s", "GB/s"];
const SECONDS = 120;

function speed(value) {
  let place = 0;
  while (value >= 1000 && place < UNITS.length - 1) {
    value /= 1000;
    place += 1;
  }
  return `${value < 10 && place > 0 ? value.toFixed(1) : Math.round(value)} ${UNITS[place]}`;
}

const figure = document.getElementById("throughput");
let chart = null;

function draw(line) {
  // Two points make a line; one that has only ever been at zero says nothing.
  if (line.length < 2 || (!chart && line.every(([, value]) => value === 0))) return;
  const data = [line.map(([at]) => at), line.map(([, value]) => value)];
  figure.hidden = false;
  if (chart) return chart.update(data);
  chart = drawLines(document.getElementById("throughput-chart"), {
    data,
    lines: ["Arriving"],
    x: {
      label: "Seconds before now",
      range: () => [-SECONDS, 0],
      format: (value) => String(Math.round(Math.abs(value))),
    },
    y: { label: "", range: (_chart, _least, most) => [0, 1.1 * Math.max(most ?? 0, 1)], format: speed },
    read: speed,
    height: 200,
  });
}

if (document.body.querySelector("[data-follow]")) {
  const { follow: address } = document.querySelector("[data-follow]").dataset;
  follow(() => address, (live) => draw(live.line));
}
