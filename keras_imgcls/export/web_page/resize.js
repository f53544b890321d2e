// A picture as the square that the model was trained on, by the arithmetic of the training pipeline (tf.image.resize with
// antialiasing, or what MediaPipe Tasks does): the browser's own scaling differs between browsers and between sizes.

const KERNELS = {
  bilinear: { radius: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { radius: 2, weight: keys },
};

// The cubic kernel of Keys 1981, a = -0.5.
function keys(place) {
  const x = Math.abs(place);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

// `image` (ImageData) as ImageData of `size` x `size`; `method` is squash, crop or pad, the rest as in training.
export function resized(image, size, method, interpolation) {
  let { width, height } = image;
  let [left, top] = [0, 0];
  let [across, down] = [size, size];
  if (method === "crop") {
    const side = Math.min(width, height);
    [left, top] = [Math.floor((width - side) / 2), Math.floor((height - side) / 2)];
    [width, height] = [side, side];
  } else if (method === "pad") {
    const scale = Math.fround(size / Math.max(width, height));
    [across, down] = [width, height].map((side) => Math.max(1, halfToEven(Math.fround(side * scale))));
  }
  const columns = spans(width, across, interpolation);
  const rows = spans(height, down, interpolation);
  const result = new Uint8ClampedArray(4 * size * size);
  const [leftMargin, topMargin] = [Math.floor((size - across) / 2), Math.floor((size - down) / 2)];
  for (let at = 3; at < result.length; at += 4) result[at] = 255;
  const line = new Float32Array(3 * width);
  rows.forEach((row, y) => {
    weighRows(image, line, left, top, width, row);
    columns.forEach((column, x) => {
      const place = 4 * ((y + topMargin) * size + x + leftMargin);
      for (let channel = 0; channel < 3; channel += 1) {
        let sum = 0;
        column.weights.forEach((weight, at) => { sum += weight * line[3 * (column.start + at) + channel]; });
        result[place + channel] = halfToEven(sum); // clamped by its type
      }
    });
  });
  return new ImageData(result, size, size);
}

function weighRows(image, line, left, top, width, { start, weights }) {
  line.fill(0);
  weights.forEach((weight, at) => {
    let from = 4 * ((top + start + at) * image.width + left);
    for (let to = 0; to < 3 * width; to += 3, from += 4) {
      for (let channel = 0; channel < 3; channel += 1) line[to + channel] += weight * image.data[from + channel];
    }
  });
}

// For each place of the result, which places of the source count, from `start` on, and how much.
function spans(from, to, interpolation) {
  return Array.from({ length: to }, (_, place) => {
    const scale = from / to;
    if (interpolation === "mediapipe") return between(place * scale, from); // no antialiasing, corners on corners
    const centre = (place + 0.5) * scale;
    if (interpolation === "nearest") return { start: Math.min(from - 1, Math.floor(centre)), weights: [1] };
    if (interpolation === "area") return overlap(place * scale, (place + 1) * scale, from);
    const { radius, weight } = KERNELS[interpolation];
    const stretch = Math.max(scale, 1);
    const start = Math.max(0, Math.ceil(centre - radius * stretch - 0.5));
    const end = Math.min(from - 1, Math.floor(centre + radius * stretch - 0.5));
    const weights = Array.from({ length: end - start + 1 }, (_, at) => weight((start + at + 0.5 - centre) / stretch));
    return { start, weights: normalized(weights) };
  });
}

function between(at, from) {
  const start = Math.floor(at);
  return start + 1 < from ? { start, weights: [1 - (at - start), at - start] } : { start, weights: [1] };
}

function overlap(first, last, from) {
  const start = Math.floor(first);
  const end = Math.min(from, Math.ceil(last));
  const weights = Array.from({ length: end - start }, (_, at) => Math.min(last, start + at + 1) - Math.max(first, start + at));
  return { start, weights: normalized(weights) };
}

function normalized(weights) {
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

function halfToEven(number) {
  const floor = Math.floor(number);
  return number - floor === 0.5 ? floor + (floor % 2) : Math.round(number);
}
