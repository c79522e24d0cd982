// Epsilon and darkening against the response of a log neuron, with a face. Data: facelight_lab/moving/epsilon.py.
import { html, svg } from "./lit-html.js";
import { chart, drawing, path } from "./chart.js";
import { gray, levels } from "./pixels.js";

const SIZE = { width: 300, height: 240, left: 48, right: 10, top: 10, bottom: 38 };
const GAIN = 6; // of the differences between neighbors, to be seen

export const start = () => ({ epsilon: 0, factor: 3 });

export const controls = (data) => [
  { name: "epsilon", label: "ε", kind: "range", options: data.epsilons },
  { name: "factor", label: "gray levels divided by", kind: "range", options: data.factors.map(String) },
];

export function says(data, { epsilon, factor }) {
  const share = (100 * data.kept[epsilon][factor]).toFixed(0);
  const [high, low] = data.edge;
  return (
    `ε = ${data.epsilons[epsilon]}, gray levels / ${data.factors[factor]}: the difference between ` +
    `gray levels ${high} and ${low} keeps ${share} % of its response.`
  );
}

const canvas = (name, label) => html`<div class="moving-picture">
  <canvas data-canvas="${name}" width="112" height="128" role="img" aria-label="${label}"></canvas>
  <p>${label}</p></div>`;

export function view(data, { epsilon, factor }) {
  const unit = (value) => ({ low: 0, high: 1, ticks: [0, 0.5, 1], label: value });
  const { x, y, axes } = chart(SIZE, unit("gray level / 255"), unit("response / that to white"));
  const curve = data.response[epsilon].map((value, level) => [x(level / 255), y(value)]);
  const reach = x(1 / data.factors[factor]);
  const edge = data.edge.map((level) => data.darkened[factor][level]);
  return html`${drawing(SIZE, svg`
      <rect class="moving-reach" x="${x(0)}" y="${y(1)}" width="${reach - x(0)}" height="${y(0) - y(1)}"></rect>
      ${axes}
      <path class="moving-straight" d="${path([[x(0), y(0)], [x(1), y(1)]])}"></path>
      <path class="moving-line" d="${path(curve)}"></path>
      ${edge.map((l) => svg`<circle class="moving-dot" cx="${curve[l][0]}" cy="${curve[l][1]}" r="4"></circle>`)}`)}
    <div class="moving-pictures">
      ${canvas("dark", "the picture")}${canvas("response", "its response")}${canvas("edges", "differences of neighbors")}
    </div>`;
}

export function paint(place, data, { epsilon, factor }, pictures) {
  const response = levels(pictures.face).map((level) => data.response[epsilon][data.darkened[factor][level]]);
  const width = pictures.face.naturalWidth;
  const difference = (value, i) => (i % width ? Math.abs(value - response[i - 1]) : 0);
  const shown = {
    dark: levels(pictures.face).map((level) => data.darkened[factor][level]),
    response: response.map((value) => 255 * value),
    edges: response.map((value, i) => 255 * GAIN * difference(value, i)),
  };
  for (const [name, values] of Object.entries(shown)) gray(place.querySelector(`[data-canvas=${name}]`), values);
}
