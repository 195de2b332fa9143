// Lines on a canvas, drawn by uPlot in the page's own colours; drawn anew when the theme changes.

/** A colour of the style sheet as the browser resolves it in the present theme. */
export function colour(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}

const KINDS = ["accent", "second", "good"];
const HEIGHT = 260;

function scaleOf(axis) {
  if (!axis.log) return { time: Boolean(axis.time), range: axis.range };
  return { time: false, distr: 3, log: 10, range: axis.range };
}

function axisOf(axis, side, size) {
  const drawn = {
    side,
    label: axis.label,
    labelSize: 20,
    labelGap: 2,
    size,
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    stroke: colour("muted"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1 },
  };
  // Of a logarithmic axis uPlot has a place for every digit: only powers of ten get words.
  if (axis.log) {
    const powers = (_chart, splits) => splits.map((at) => (isPower(at) ? at : null));
    drawn.filter = powers;
    drawn.grid.filter = powers;
    drawn.ticks.filter = powers;
    drawn.values = (_chart, splits) => splits.map((at) => (at === null ? "" : powerOf(at)));
  }
  if (axis.format) drawn.values = (_chart, splits) => splits.map((at) => axis.format(at));
  return drawn;
}

function isPower(value) {
  const power = Math.log10(value);
  return Math.abs(power - Math.round(power)) < 1e-6;
}

/** A value in the legend; nothing while no point is pointed at. */
const said = (value, read) => (value === null || value === undefined ? "" : read(value));

const DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
function powerOf(value) {
  const power = Math.round(Math.log10(value));
  if (power >= 0 && power < 4) return String(10 ** power);
  const digits = [...String(Math.abs(power))].map((digit) => DIGITS[digit]).join("");
  return `10${power < 0 ? "⁻" : ""}${digits}`;
}

/**
 * Draws lines into an element.
 *
 * @param element where; its width is the chart's.
 * @param data uPlot's: an array of x, then one of y for each line (null where there is none).
 * @param lines the lines' names, in the same order.
 * @param x, y the axes: {label, log, range, format, time}.
 * @param read how a value of y is written in the legend.
 * @returns {update(data), remove()}.
 */
export function drawLines(element, { data, lines, x, y, read, height = HEIGHT }) {
  let chart = null;
  let shown = data;

  function draw() {
    chart?.destroy();
    element.replaceChildren();
    chart = new uPlot(
      {
        width: Math.max(200, element.clientWidth),
        height,
        scales: { x: scaleOf(x), y: scaleOf(y) },
        axes: [axisOf(x, 2, 34), axisOf(y, 3, 60)],
        series: [
          { label: x.label, value: (_chart, value) => said(value, x.format ?? String) },
          ...lines.map((label, place) => ({
            label,
            stroke: colour(KINDS[place]),
            width: 2,
            dash: place === 1 ? [7, 4] : [],
            spanGaps: true,
            points: { show: false },
            value: (_chart, value) => said(value, read),
          })),
        ],
        cursor: { drag: { x: false, y: false } },
        legend: { live: true },
      },
      shown,
      element,
    );
  }

  const width = () => Math.max(200, element.clientWidth);
  const resized = new ResizeObserver(() => {
    if (chart && chart.width !== width()) chart.setSize({ width: width(), height });
  });
  draw();
  resized.observe(element);
  document.addEventListener("themechange", draw);
  return {
    update(next) {
      shown = next;
      chart.setData(next);
    },
    remove() {
      resized.disconnect();
      document.removeEventListener("themechange", draw);
      chart.destroy();
    },
  };
}

/** Several curves, each with an x of its own, as one array of x with gaps. */
export function joined(curves) {
  const places = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
  return [
    places,
    ...curves.map((curve) => {
      const known = new Map(curve.x.map((at, place) => [at, curve.y[place]]));
      return places.map((at) => known.get(at) ?? null);
    }),
  ];
}
