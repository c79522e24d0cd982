// Runs in every page before its own scripts: remembers what moves, and answers the checks of checks.py.
window.shifts = [];
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    const moved = entry.sources.map(s => (s.node && (s.node.outerHTML || s.node.textContent)) || "");
    window.shifts.push([entry.value, moved.map(text => text.slice(0, 80))]);
  }
}).observe({ type: "layout-shift", buffered: true });

const few = found => found.slice(0, 8);
const start = element => element.outerHTML.slice(0, 80);
const text = element => element.textContent.trim().slice(0, 60);
const scrolls = element => /auto|scroll/.test(getComputedStyle(element).overflowX);
const shown = element => element.getClientRects().length && getComputedStyle(element).visibility !== "hidden";

function isHeld(element) {
  for (let up = element.parentElement; up; up = up.parentElement) if (getComputedStyle(up).overflowX !== "visible") return true;
  return false;
}

function cutBy(element, limited) {
  let box = element;
  while (box.tagName !== "ARTICLE" && !(limited(box) && box.scrollWidth > box.clientWidth + 1)) box = box.parentElement;
  return box.tagName === "ARTICLE" || !element.clientWidth ? null : box;
}

window.checks = {
  mathematics() {
    const unset = [...document.querySelectorAll("main .math")].filter(
      e => !e.querySelector("mjx-math, math, .katex") || e.querySelector("mjx-merror, merror, .katex-error"));
    const words = document.querySelector("article")?.innerText || "";
    const sources = [...words.matchAll(/\\[([][^\n]*/g)].map(match => "source: " + match[0].slice(0, 60));
    return few([...unset.map(e => "not set: " + text(e)), ...sources]);
  },

  overflow(wide) {
    const found = [], room = document.documentElement.clientWidth, needed = document.documentElement.scrollWidth;
    if (needed > room) found.push(`the page is ${needed} px wide`);
    for (const e of document.querySelectorAll("main *")) {
      const box = e.getBoundingClientRect();
      if (box.width > 1 && box.right > room + 1 && shown(e) && !isHeld(e)) found.push("beyond the edge: " + start(e));
    }
    if (wide) {
      for (const e of document.querySelectorAll("article table, article .cell_output pre"))
        if (cutBy(e, scrolls)) found.push("cut off: " + text(e));
    }
    return few(found);
  },

  images(height) {
    const all = [...document.querySelectorAll("article img")], name = e => (e.alt || e.src).slice(0, 60);
    const unsized = all.filter(e => !(e.getAttribute("width") > 0 && e.getAttribute("height") > 0));
    const early = all.filter(e => e.loading !== "lazy" && e.getBoundingClientRect().top + scrollY > 2 * height);
    return [...unsized.map(e => "no size: " + name(e)), ...early.map(e => "not lazy: " + name(e))];
  },

  tabStops() {
    const usual = "a, button, input, select, textarea, summary, [role=slider], .moving-figure *";
    const stops = [...document.querySelectorAll('main [tabindex="0"]')].filter(e => !e.matches(usual));
    const idle = stops.filter(e => e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight);
    const nameless = stops.filter(e => !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby"));
    const said = [idle.map(e => "in the tab order without scrolling: " + start(e))];
    return few([...said.flat(), ...nameless.map(e => "scrolls without a name: " + start(e))]);
  },

  printed() {
    const around = "header, .bd-sidebar-primary, .bd-sidebar-secondary, .prev-next-area, #pst-back-to-top";
    const found = [...document.querySelectorAll(`${around}, .copybtn, .headerlink`)].filter(
      e => shown(e) && !e.closest("article header")).map(e => "printed: " + start(e));
    const edge = document.documentElement.clientWidth + 1;
    for (const e of document.querySelectorAll("article pre, article table, article img, article div.math"))
      if (cutBy(e, () => true) || (shown(e) && e.getBoundingClientRect().right > edge)) found.push("cut off in print: " + text(e));
    const ground = getComputedStyle(document.body).backgroundColor;
    if (!/255, 255, 255|rgba\(0, 0, 0, 0\)/.test(ground)) found.push("ground in print: " + ground);
    return few(found);
  },

  // What one style sheet colors thousands of times is looked at in the first places only.
  markRepeated() {
    for (const kind of [".highlight", "dl.py > dt", "mjx-container"])
      [...document.querySelectorAll("article " + kind)].slice(3).forEach(e => { e.dataset.repeated = ""; });
  },

  // What a reader sees of a moving figure, without the state of its controls.
  signature(figure) {
    const drawn = [...figure.querySelectorAll("canvas")].map(e => e.toDataURL());
    return drawn.concat([...figure.querySelectorAll("svg, img, output, table, p, [aria-live]")].map(e => e.outerHTML)).join();
  },

  async readToTheEnd() {
    for (let y = 0; y < document.body.scrollHeight; y += 2 * innerHeight) {
      scrollTo(0, y);
      await new Promise(requestAnimationFrame);
    }
    scrollTo(0, 0);
  },
};
