// A chart in SVG: from numbers to places, axes with ticks, lines.
import { svg } from "./lit-html.js";

/** From values between `low` and `high` to places between `start` and `end`. */
export const scale = (low, high, start, end) => (value) => start + ((value - low) / (high - low)) * (end - start);

/** The path through points [x, y]. */
export const path = (points) => `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`;

/**
 * The frame of a chart.
 *   size: {width, height, left, right, top, bottom}, the last four the margins
 *   x, y: {low, high, ticks: [value, ...], label, text: value -> text}
 * Returns the scales `x` and `y`, and the template `axes`.
 */
export function chart(size, x, y) {
  const right = size.width - size.right;
  const bottom = size.height - size.bottom;
  const across = scale(x.low, x.high, size.left, right);
  const up = scale(y.low, y.high, bottom, size.top);
  const text = (axis, value) => (axis.text ? axis.text(value) : String(value));
  const axes = svg`
    <path class="moving-axis" d="${path([[size.left, size.top], [size.left, bottom], [right, bottom]])}"></path>
    ${x.ticks.map((v) => svg`<text x="${across(v)}" y="${bottom + 15}" text-anchor="middle">${text(x, v)}</text>`)}
    ${y.ticks.map((v) => svg`<text x="${size.left - 5}" y="${up(v) + 4}" text-anchor="end">${text(y, v)}</text>`)}
    <text x="${(size.left + right) / 2}" y="${size.height - 3}" text-anchor="middle">${x.label}</text>
    <text x="${-(size.top + bottom) / 2}" y="12" text-anchor="middle" transform="rotate(-90)">${y.label}</text>`;
  return { x: across, y: up, axes };
}

/** A template of a chart with something in it, for the eye only: the figure says its numbers in words. */
export const drawing = (size, content) => svg`<svg class="moving-chart" viewBox="0 0 ${size.width} ${size.height}"
  width="${size.width}" height="${size.height}" aria-hidden="true" focusable="false">${content}</svg>`;
