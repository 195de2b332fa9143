// A matrix of energies on a canvas, with the counts of its largest entries at its edges.

import { colour } from "./charts.js";

const MAP_BINS = 64; // along an axis, at most: as the report has it
const TOP_LEVEL = 255; // all the energy
const LEVELS_PER_DECADE = 20;
const LEAST_DECADES = 1; // of the colour scale, so that round-off does not look like structure
const MOST_DECADES = 7; // so that one bin with next to nothing does not flatten the others
const DARKEST = 0.01; // share of the bins that have the darkest colour, or less than it
const EDGE = 0.16; // of the width, for the counts
const GAP = 0.015;

// From dark to light in even steps of lightness, told apart by the colour-blind as well.
const STOPS = [
  [22, 12, 60], [62, 28, 112], [112, 40, 124], [162, 52, 116], [206, 72, 98],
  [240, 104, 78], [252, 150, 72], [252, 200, 104], [252, 246, 190],
];

/** The colour of a value from 0 to 1. */
function shade(value) {
  const place = Math.min(Math.max(value, 0), 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2);
  const part = place - low;
  return STOPS[low].map((from, channel) => Math.round(from + part * (STOPS[low + 1][channel] - from)));
}

function bytesOf(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
}

const binsOf = (extent) => Math.min(MAP_BINS, extent);

function sizesOf(extent) {
  const count = binsOf(extent);
  const edge = (place) => Math.floor((place * extent) / count);
  return Array.from({ length: count }, (_, place) => edge(place + 1) - edge(place));
}

/** log10 of the mean share of energy of an entry, bin by bin; -Infinity where there is none. */
function densities(matrix) {
  const levels = bytesOf(matrix.levels);
  const rows = sizesOf(matrix.rows);
  const columns = sizesOf(matrix.columns);
  return rows.map((height, row) =>
    columns.map((width, column) => {
      const level = levels[row * columns.length + column];
      if (level === 0) return -Infinity;
      return (level - TOP_LEVEL) / LEVELS_PER_DECADE - Math.log10(height * width);
    }),
  );
}

function sized(canvas, ratio) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * scale);
  canvas.height = Math.round(canvas.clientWidth * ratio * scale);
  return canvas.getContext("2d");
}

function drawCells(context, values, scale, side) {
  const down = values.length;
  const across = values[0].length;
  values.forEach((line, row) => {
    const y = Math.round((row * side) / down);
    const height = Math.round(((row + 1) * side) / down) - y;
    line.forEach((value, column) => {
      const x = Math.round((column * side) / across);
      const width = Math.round(((column + 1) * side) / across) - x;
      context.fillStyle = `rgb(${shade((value - scale.low) / (scale.high - scale.low)).join(" ")})`;
      context.fillRect(x, y, width, height);
    });
  });
}

/** Bars at the right edge (`rows`), or below. */
function drawCounts(context, counts, sizes, most, side, upright) {
  const start = side * (1 + GAP / (1 - EDGE));
  const room = context.canvas.width - start;
  context.fillStyle = colour("accent");
  counts.forEach((count, place) => {
    const from = Math.round((place * side) / counts.length);
    const to = Math.round(((place + 1) * side) / counts.length);
    const length = most === 0 ? 0 : Math.max(count > 0 ? 1 : 0, (count / sizes[place] / most) * room);
    if (upright) context.fillRect(start, from, length, to - from);
    else context.fillRect(from, start, to - from, length);
  });
}

/** The colour scale of several matrices: from what few bins are below, to the highest. */
function scaleOf(values) {
  const known = values.filter(Number.isFinite).sort((a, b) => a - b);
  const high = known.at(-1) ?? 0;
  const low = known[Math.floor(DARKEST * known.length)] ?? 0;
  return { low: Math.min(Math.max(low, high - MOST_DECADES), high - LEAST_DECADES), high };
}

const highest = (values) => values.reduce((most, value) => Math.max(most, value), -Infinity);

function drawOne(canvas, matrix, values, scale) {
  const context = sized(canvas, 1);
  const side = Math.floor(canvas.width * (1 - EDGE));
  context.clearRect(0, 0, canvas.width, canvas.height);
  drawCells(context, values, scale, side);
  for (const [counts, extent, upright] of [
    [matrix.top_by_rows, matrix.rows, true],
    [matrix.top_by_columns, matrix.columns, false],
  ]) {
    const sizes = sizesOf(extent);
    const most = highest(counts.map((count, place) => count / sizes[place]));
    drawCounts(context, counts, sizes, most, side, upright);
  }
}

function drawLegend(canvas) {
  const context = sized(canvas, 0.06);
  for (let x = 0; x < canvas.width; x += 1) {
    context.fillStyle = `rgb(${shade(x / canvas.width).join(" ")})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
}

/**
 * Draws a gradient before and after, on one colour scale, and the scale itself.
 *
 * @param sample the report's `sample`.
 * @param canvases {original, basis, legend}, and the element `range` for the scale in words.
 * @returns a function that ends it.
 */
export function drawSample(sample, canvases) {
  const kinds = ["original", "basis"].map((kind) => ({
    canvas: canvases[kind],
    matrix: sample[kind],
    values: densities(sample[kind]),
  }));
  const scale = scaleOf(kinds.flatMap(({ values }) => values.flat()));
  const times = Number((10 ** (scale.high - scale.low)).toPrecision(2)).toLocaleString("en");
  canvases.range.textContent = `, ${times} times as much or more`;
  const draw = () => {
    for (const { canvas, matrix, values } of kinds) drawOne(canvas, matrix, values, scale);
    drawLegend(canvases.legend);
  };
  const resized = new ResizeObserver(draw);
  resized.observe(canvases.original);
  document.addEventListener("themechange", draw);
  return () => {
    resized.disconnect();
    document.removeEventListener("themechange", draw);
  };
}
