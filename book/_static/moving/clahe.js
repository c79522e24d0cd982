// CLAHE: a tile's histogram, the clip limit, the table of gray levels, the picture. Data: facelight_lab/moving/clahe.py.
import { html, svg } from "./lit-html.js";
import { chart, drawing, path } from "./chart.js";
import { part } from "./pixels.js";

const SIZE = { width: 300, height: 200, left: 48, right: 10, top: 10, bottom: 38 };
const LEVELS = [0, 128, 255];

export const start = (data) => ({ limit: 3, tile: Math.floor((data.grid[0] * data.grid[1]) / 2) });

const place = (data, tile) => [Math.floor(tile / data.grid[1]), tile % data.grid[1]];

function named(data, tile) {
  const [row, column] = place(data, tile);
  return `row ${row + 1}, column ${column + 1}`;
}

export const controls = (data) => [
  { name: "limit", label: "clip limit", kind: "range", options: data.limits },
  { name: "tile", label: "tile", kind: "range", options: data.histograms.map((_, tile) => named(data, tile)) },
];

export function says(data, { limit, tile }) {
  const count = data.counts[limit];
  const cut = data.histograms[tile].reduce((sum, n) => sum + Math.max(n - count, 0), 0);
  const pixels = data.histograms[tile].reduce((sum, n) => sum + n, 0);
  return (
    `Limit ${data.limits[limit]}, ${named(data, tile)}: at most ${count} of ${pixels} pixels a gray level, ` +
    `${cut} are handed on; the steepest step of the table is ${data.slopes[limit][tile]} gray levels.`
  );
}

function histogram(data, { limit, tile }) {
  const counts = data.histograms[tile];
  const top = Math.max(...counts, 1);
  const x = { low: 0, high: 255, ticks: LEVELS, label: "gray level" };
  const { x: across, y: up, axes } = chart(SIZE, x, { low: 0, high: top, ticks: [0, top], label: "pixels" });
  const bar = (n, level) => [[across(level), up(0)], [across(level), up(n)]];
  const stay = counts.map((n, level) => [Math.min(n, data.counts[limit]), level]).filter(([n]) => n > 0);
  const over = counts.map((n, level) => [n, level]).filter(([n]) => n > data.counts[limit]);
  const line = up(Math.min(data.counts[limit], top));
  return drawing(SIZE, svg`${axes}
    <path class="moving-bars" d="${stay.map(([n, level]) => path(bar(n, level))).join("")}"></path>
    <path class="moving-over" d="${over.map(([n, level]) =>
      path([[across(level), up(data.counts[limit])], [across(level), up(n)]])).join("")}"></path>
    <path class="moving-limit" d="${path([[across(0), line], [across(255), line]])}"></path>`);
}

function table(data, { limit, tile }) {
  const axis = (label) => ({ low: 0, high: 255, ticks: LEVELS, label });
  const { x, y, axes } = chart(SIZE, axis("gray level in"), axis("gray level out"));
  const points = data.tables[limit][tile].map((value, level) => [x(level), y(value)]);
  return drawing(SIZE, svg`${axes}
    <path class="moving-straight" d="${path([[x(0), y(0)], [x(255), y(255)]])}"></path>
    <path class="moving-line" d="${path(points)}"></path>`);
}

export function view(data, state, set) {
  const [height, width] = data.size;
  const [rows, columns] = data.grid;
  const choose = (event) => {
    const box = event.target.getBoundingClientRect();
    const at = (position, length, count) => Math.min(count - 1, Math.max(0, Math.floor((position / length) * count)));
    const row = at(event.clientY - box.top, box.height, rows);
    set({ tile: row * columns + at(event.clientX - box.left, box.width, columns) });
  };
  const picture = (name, label) => html`<div class="moving-picture">
    <canvas data-canvas="${name}" width="${3 * width}" height="${3 * height}" role="img" aria-label="${label}"
      @click="${choose}"></canvas><p>${label}</p></div>`;
  return html`<div class="moving-pictures">${picture("face", "input; choose a tile")}${picture("enhanced", "output")}</div>
    <div class="moving-charts">${histogram(data, state)}${table(data, state)}</div>`;
}

export function paint(live, data, { limit, tile }, pictures) {
  const [height, width] = data.size;
  const [rows, columns] = data.grid;
  const [row, column] = place(data, tile);
  const from = { face: 0, enhanced: limit * height };
  for (const [name, y] of Object.entries(from)) {
    const canvas = live.querySelector(`[data-canvas=${name}]`);
    part(canvas, pictures[name], { x: 0, y, width, height });
    const context = canvas.getContext("2d");
    context.strokeStyle = "#e69f00";
    context.lineWidth = 4;
    const [w, h] = [canvas.width / columns, canvas.height / rows];
    context.strokeRect(column * w + 2, row * h + 2, w - 4, h - 4);
  }
}
