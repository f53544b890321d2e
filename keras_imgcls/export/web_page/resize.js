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

// A picture as ImageData of `size` x `size`. `picture.row(place)` gives the RGBA bytes of one of its rows, which are asked for
// once each, from top to bottom; `method` is squash, crop or pad, the rest as in training.
export function resized(picture, size, method, interpolation) {
  let { width, height } = picture;
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
  const sums = Array.from({ length: down }, () => new Float32Array(3 * across));
  const line = new Float32Array(3 * across);
  receivers(spans(height, down, interpolation), height).forEach((receiving, place) => {
    if (!receiving.length) return;
    weighColumns(picture.row(top + place).subarray(4 * left), columns, line);
    for (const { row, weight } of receiving) line.forEach((value, at) => { sums[row][at] += weight * value; });
  });
  return placed(sums, across, size);
}

// For each row of the source, the rows of the result that it counts in, and how much.
function receivers(rows, height) {
  const found = Array.from({ length: height }, () => []);
  rows.forEach(({ start, weights }, row) => weights.forEach((weight, at) => found[start + at].push({ row, weight })));
  return found;
}

function weighColumns(source, columns, line) {
  columns.forEach(({ start, weights }, column) => {
    let [red, green, blue] = [0, 0, 0];
    for (let at = 0, from = 4 * start; at < weights.length; at += 1, from += 4) {
      red += weights[at] * source[from];
      green += weights[at] * source[from + 1];
      blue += weights[at] * source[from + 2];
    }
    [line[3 * column], line[3 * column + 1], line[3 * column + 2]] = [red, green, blue];
  });
}

// Rounded rows in the middle of a black square.
function placed(rows, across, size) {
  const result = new Uint8ClampedArray(4 * size * size);
  const [left, top] = [Math.floor((size - across) / 2), Math.floor((size - rows.length) / 2)];
  for (let at = 3; at < result.length; at += 4) result[at] = 255;
  rows.forEach((row, y) => row.forEach((value, at) => {
    const column = left + Math.floor(at / 3);
    result[4 * ((top + y) * size + column) + (at % 3)] = halfToEven(value); // clamped by its type
  }));
  return new ImageData(result, size, size);
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
