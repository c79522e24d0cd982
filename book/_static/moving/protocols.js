// Which lights of a person train and which test. Data: facelight_lab/moving/protocols.py.
import { html, svg } from "./lit-html.js";
import { drawing } from "./chart.js";
import { part } from "./pixels.js";

const SIZE = { width: 320, height: 320 };
const RADIUS = 150; // of the sphere of lights, seen from the camera
const KINDS = ["moving-unseen", "moving-others", "moving-trained"]; // by role
const WORDS = ["tested; nobody is trained under this light", "tested; others are trained under this light", "trained on"];

export const start = () => ({ protocol: 0, seed: 0, light: 40 });

const told = ([azimuth, elevation]) =>
  `${Math.abs(azimuth)}° ${azimuth < 0 ? "right" : "left"}, ${Math.abs(elevation)}° ${elevation < 0 ? "below" : "above"}`;

export const controls = (data) => [
  { name: "protocol", label: "protocol", kind: "select", options: data.protocols },
  { name: "seed", label: "seed", kind: "select", options: data.seeds.map(String) },
  { name: "light", label: "light", kind: "range", options: data.lights.map(told) },
];

export function says(data, { protocol, seed, light }) {
  const roles = data.roles[protocol][seed];
  const count = roles.filter((role) => role === 2).length;
  const nearest = roles[light] === 2 ? "" : `, ${data.angles[protocol][seed][light]}° from the nearest trained light`;
  return `${data.protocols[protocol]}, seed ${data.seeds[seed]}: ${count} of ${roles.length} lights are trained on. This one is ${WORDS[roles[light]]}${nearest}.`;
}

/**
 * Where a light stands on a disc, as the camera sees it: positive azimuths are at the left. The angle from the camera's
 * axis is the distance from the middle, 140 degrees at the edge.
 */
export function place([azimuth, elevation]) {
  const [a, e] = [azimuth, elevation].map((degrees) => (degrees * Math.PI) / 180);
  const [x, y, z] = [-Math.sin(a) * Math.cos(e), Math.sin(e), Math.cos(a) * Math.cos(e)];
  const distance = ((Math.acos(Math.min(1, Math.max(-1, z))) * 180) / Math.PI / 140) * RADIUS;
  const length = Math.hypot(x, y) || 1;
  return [SIZE.width / 2 + (distance * x) / length, SIZE.height / 2 - (distance * y) / length];
}

export function view(data, { protocol, seed, light }, set) {
  const middle = [SIZE.width / 2, SIZE.height / 2];
  const ring = (degrees) => svg`<circle class="moving-ring" cx="${middle[0]}" cy="${middle[1]}"
      r="${(degrees / 140) * RADIUS}"></circle>
    <text x="${middle[0] + 3}" y="${middle[1] + (degrees / 140) * RADIUS - 3}">${degrees > 45 ? `${degrees}°` : ""}</text>`;
  const dot = (direction, i) => {
    const [cx, cy] = place(direction);
    return svg`<circle class="moving-light ${KINDS[data.roles[protocol][seed][i]]}" cx="${cx}" cy="${cy}" r="6"></circle>`;
  };
  const target = (direction, i) => {
    const [cx, cy] = place(direction);
    return svg`<circle class="moving-target" cx="${cx}" cy="${cy}" r="11" @pointerenter="${() => set({ light: i })}"
      @click="${() => set({ light: i })}"><title>${told(direction)}</title></circle>`;
  };
  const [x, y] = place(data.lights[light]);
  const [height, width] = data.size;
  return html`${drawing(SIZE, svg`${[45, 90, 135].map(ring)}${data.lights.map(dot)}
      <circle class="moving-pointed" cx="${x}" cy="${y}" r="9"></circle>
      ${data.lights.map(target)}`)}
    <div class="moving-pictures moving-beside"><div class="moving-picture">
      <canvas data-canvas="face" width="${width}" height="${height}" role="img"
        aria-label="A rendered face under this light"></canvas>
      <p>light ${told(data.lights[light])}</p></div>
      <ul class="moving-key moving-roles">
        <li><span class="moving-swatch moving-trained"></span> trained on</li>
        <li><span class="moving-swatch moving-others"></span> tested; others are trained under it</li>
        <li><span class="moving-swatch moving-unseen"></span> tested; nobody is trained under it</li>
      </ul></div>`;
}

export function paint(live, data, { light }, pictures) {
  const [height, width] = data.size;
  const [row, column] = [Math.floor(light / data.columns), light % data.columns];
  part(live.querySelector("[data-canvas=face]"), pictures.faces, { x: column * width, y: row * height, width, height });
}
