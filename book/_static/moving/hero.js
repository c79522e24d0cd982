// The cover: a rendered face in less and less light, and where three networks see its landmarks.
// Data: facelight_lab/moving/hero.py.
import { html } from "./lit-html.js";
import { part } from "./pixels.js";

const LINES = [[0, 32], [33, 37], [42, 46], [51, 54], [55, 59]]; // of WFLW's 98 points: jaw, brows, nose
const RINGS = [[60, 67], [68, 75], [76, 87], [88, 95]]; // eyes, lips
const PARTS = 1000; // points are thousandths of the side
const SIDE = 432; // of the canvases
const NOISE = 2; // the kind of light whose pictures are those that the networks see
const PREDICTED = "#f0e442";

export const start = (data) => ({ kind: 1, strength: data.strengths.indexOf(12), face: 0 });

export const controls = (data) => [
  { name: "kind", label: "light", kind: "select", options: data.kinds },
  { name: "strength", label: "gray levels divided by", kind: "range", options: data.strengths.map(String) },
  { name: "face", label: "face", kind: "range", options: data.truth.map((_, i) => String(i + 1)) },
];

const percent = (share) => (100 * share).toFixed(1);

export function says(data, { kind, strength, face }) {
  const each = data.networks.map(({ name }, i) => `${name} ${percent(data.errors[i][kind][strength][face])} %`);
  const light = data.kinds[kind][0].toUpperCase() + data.kinds[kind].slice(1);
  return `${light}, gray levels / ${data.strengths[strength]}. Error: ${each.join(", ")} of the distance of the eyes.`;
}

export function view(data, { kind, strength, face }) {
  const panel = ({ name, color }, i) => html`<div class="moving-picture">
    <canvas data-canvas="${i}" width="${SIDE}" height="${SIDE}" role="img"
      aria-label="The face with the landmarks of the network: ${name}"></canvas>
    <p><span class="moving-swatch" style="background: ${color}" aria-hidden="true"></span> ${name}<br>
      <strong>${percent(data.errors[i][kind][strength][face])} %</strong> here,
      ${percent(data.mean[i][kind][strength])} % over ${data.asked} faces</p></div>`;
  return html`<div class="moving-pictures moving-panels">${data.networks.map(panel)}</div>`;
}

/** The face in this light: the large picture, darkened column by column, or what the networks see, with noise. */
function face(context, data, state, pictures) {
  if (state.kind === NOISE) {
    const side = pictures.noise.naturalHeight / data.truth.length;
    context.imageSmoothingEnabled = false;
    part(context.canvas, pictures.noise, { x: state.strength * side, y: state.face * side, width: side, height: side });
    return;
  }
  const side = pictures.large.naturalWidth;
  const small = new OffscreenCanvas(side, side);
  const pixels = small.getContext("2d");
  pixels.drawImage(pictures.large, 0, -state.face * side);
  const image = pixels.getImageData(0, 0, side, side);
  const factors = data.factors[state.kind][state.strength];
  image.data.forEach((value, i) => {
    if (i % 4 < 3) image.data[i] = Math.round(value * factors[Math.floor(i / 4) % side]);
  });
  pixels.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(small, 0, 0, SIDE, SIDE);
}

function outline(context, points) {
  context.beginPath();
  for (const [first, last] of [...LINES, ...RINGS]) {
    context.moveTo(...points[first]);
    for (let i = first + 1; i <= last; i += 1) context.lineTo(...points[i]);
  }
  for (const [first, last] of RINGS) {
    context.moveTo(...points[last]);
    context.lineTo(...points[first]);
  }
  for (const [width, color] of [[6, "rgb(0 0 0 / 60%)"], [3, PREDICTED]]) {
    context.lineWidth = width;
    context.strokeStyle = color;
    context.stroke();
  }
}

export function paint(live, data, state, pictures) {
  const truth = data.truth[state.face];
  data.networks.forEach((_, i) => {
    const canvas = live.querySelector(`[data-canvas="${i}"]`);
    const context = canvas.getContext("2d");
    context.lineJoin = "round";
    face(context, data, state, pictures);
    const off = data.off[i][state.kind][state.strength][state.face];
    const at = (k) => (SIDE * (truth[k] + off[k])) / PARTS;
    outline(context, Array.from({ length: truth.length / 2 }, (__, k) => [at(2 * k), at(2 * k + 1)]));
  });
}
