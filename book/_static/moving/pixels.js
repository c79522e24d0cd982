// Pictures on canvases.

/** The gray levels of a picture, or of a part {x, y, width, height} of it, row by row. */
export function levels(picture, part = { x: 0, y: 0, width: picture.naturalWidth, height: picture.naturalHeight }) {
  const canvas = new OffscreenCanvas(part.width, part.height);
  const context = canvas.getContext("2d");
  context.drawImage(picture, -part.x, -part.y);
  const colors = context.getImageData(0, 0, part.width, part.height).data;
  return Array.from({ length: part.width * part.height }, (_, i) => colors[4 * i]);
}

/** Draw gray levels, row by row, on a canvas of that size. */
export function gray(canvas, values) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  values.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  context.putImageData(image, 0, 0);
}

/** Draw a part {x, y, width, height} of a picture on a canvas, filling it. */
export function part(canvas, picture, { x, y, width, height }) {
  const context = canvas.getContext("2d");
  context.drawImage(picture, x, y, width, height, 0, 0, canvas.width, canvas.height);
}
