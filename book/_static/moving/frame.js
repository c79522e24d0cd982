// What all figures that move share. Loaded on every page; where there is no figure it does nothing.
//
// The page holds, for each figure, a still picture and its data (facelight_lab/moving/frame.py). The module NAME.js says
// what moves:
//   start(data)              -> the state at first, an object of whole numbers
//   controls(data, state)    -> [{name, label, kind: "range" | "select", options: [text, ...]}], of numbers of the state
//   view(data, state, set)   -> a template of lit-html; set({name: value}) changes the state
//   says(data, state)        -> the numbers that are shown now, in a sentence
//   paint(place, data, state, pictures) -> draws what is on canvases; optional
// Pictures are the values of `data` that are data URIs; they are decoded before anything is shown.
import { html, render } from "./lit-html.js";

const isPicture = (value) => typeof value === "string" && value.startsWith("data:image/");

async function decoded(data) {
  const found = {};
  for (const [name, value] of Object.entries(data).filter(([, value]) => isPicture(value))) {
    found[name] = new Image();
    found[name].src = value;
    await found[name].decode();
  }
  return found;
}

function range(place, control, value, set) {
  const last = control.options.length - 1;
  return html`<label for="${place}-${control.name}">${control.label}</label>
    <input type="range" id="${place}-${control.name}" min="0" max="${last}" step="1" .value="${String(value)}"
      aria-valuetext="${control.options[value]}" data-value="${control.options[value]}"
      @input="${(event) => set({ [control.name]: Number(event.target.value) })}">
    <output for="${place}-${control.name}">${control.options[value]}</output>`;
}

function select(place, control, value, set) {
  return html`<label for="${place}-${control.name}">${control.label}</label>
    <select id="${place}-${control.name}" data-value="${control.options[value]}"
      @change="${(event) => set({ [control.name]: event.target.selectedIndex })}">
      ${control.options.map((text, i) => html`<option ?selected="${i === value}">${text}</option>`)}
    </select>`;
}

const KINDS = { range, select };

async function mount(figure) {
  const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
  const module = await import(`./${figure.dataset.figure}.js`);
  const pictures = await decoded(data);
  const live = document.createElement("div");
  live.className = "moving-live";
  let state = module.start(data);

  function set(change) {
    state = { ...state, ...change };
    const line = (control) =>
      html`<div class="moving-control">${KINDS[control.kind](figure.id, control, state[control.name], set)}</div>`;
    const said = module.says(data, state);
    render(
      html`<div class="moving-controls">${module.controls(data, state).map(line)}</div>
        <div class="moving-view">${module.view(data, state, set)}</div>
        <p class="moving-now" role="status" aria-live="polite" data-value="${said}">${said}</p>`,
      live,
    );
    module.paint?.(live, data, state, pictures);
  }

  set({});
  figure.prepend(live);
  figure.classList.add("moving-mounted"); // the still picture is for print from now on
}

for (const figure of document.querySelectorAll(".moving-figure[data-figure]")) {
  mount(figure).catch((problem) => console.error(`${figure.id} stays a still picture:`, problem));
}
