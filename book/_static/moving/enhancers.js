// Enhancers by PSNR and by recognition: choose one and see a face. Data: facelight_lab/moving/enhancers.py.
import { html, svg } from "./lit-html.js";
import { chart, drawing } from "./chart.js";
import { part } from "./pixels.js";

const SIZE = { width: 360, height: 280, left: 48, right: 14, top: 12, bottom: 38 };
const INFINITE = 1.15; // where infinity stands, in largest PSNRs

export const start = (data) => ({ enhancer: data.shown });

export const controls = (data) => [
  { name: "enhancer", label: "enhancer", kind: "select", options: data.points.map((point) => point.name) },
];

export function says(data, { enhancer }) {
  const { name, psnr, recognized } = data.points[enhancer];
  const told = psnr === null ? "infinite" : `${psnr.toFixed(1)} dB`;
  return `${name}: PSNR ${told}, ${recognized.toFixed(0)} % of the badly lit faces of Extended Yale B recognized.`;
}

export function view(data, { enhancer }, set) {
  const top = Math.max(...data.points.map((point) => point.psnr ?? 0));
  const ticks = [10, 20, 30].filter((tick) => tick <= top);
  const x = { low: 0, high: INFINITE * top + 2, ticks: [...ticks, INFINITE * top], label: "PSNR (dB)" };
  x.text = (value) => (value > top ? "∞" : String(value));
  const y = { low: 0, high: 100, ticks: [0, 50, 100], label: "recognized (%)" };
  const { x: across, y: up, axes } = chart(SIZE, x, y);
  const place = (point) => [across(point.psnr ?? INFINITE * top), up(point.recognized)];
  const mark = (point, radius, kind) => {
    const [cx, cy] = place(point);
    return svg`<circle class="moving-mark ${kind}" cx="${cx}" cy="${cy}" r="${radius}" fill="${point.color}"></circle>`;
  };
  const target = (point, i) => {
    const [cx, cy] = place(point);
    return svg`<circle class="moving-target" cx="${cx}" cy="${cy}" r="12" @pointerenter="${() => set({ enhancer: i })}"
        @click="${() => set({ enhancer: i })}"><title>${point.name}</title></circle>`;
  };
  const [height, width] = data.size;
  const picture = (name, label) => html`<div class="moving-picture">
    <canvas data-canvas="${name}" width="${width}" height="${height}" role="img" aria-label="${label}"></canvas>
    <p>${label}</p></div>`;
  const marks = data.points.map((point) => mark(point, 5, ""));
  const chosen = mark(data.points[enhancer], 8, "moving-chosen");
  const key = data.families.map(({ name, color }) => html`<li><span style="color: ${color}">●</span> ${name}</li>`);
  return html`<p class="moving-key-title" id="moving-enhancers-key">A pixel's new value comes from</p>
    <ul class="moving-key" aria-labelledby="moving-enhancers-key">${key}</ul>
    ${drawing(SIZE, svg`${axes}${marks}${chosen}${data.points.map(target)}`)}
    <div class="moving-pictures">
      ${picture("face", "a rendered face")}${picture("enhanced", data.points[enhancer].name)}
    </div>`;
}

export function paint(live, data, { enhancer }, pictures) {
  const [height, width] = data.size;
  part(live.querySelector("[data-canvas=face]"), pictures.face, { x: 0, y: 0, width, height });
  const from = { x: 0, y: enhancer * height, width, height };
  part(live.querySelector("[data-canvas=enhanced]"), pictures.enhanced, from);
}
