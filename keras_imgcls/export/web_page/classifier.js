// The model: from a picture of any size to labels with probabilities, on this device.

import { resized } from "./resize.js";
import { ImageClassifier } from "./runtime/vision_bundle.js";

const RUNTIME = { wasmLoaderPath: "runtime/vision_wasm_internal.js", wasmBinaryPath: "runtime/vision_wasm_internal.wasm" };
const STRIP = 2 ** 22; // pixels that are looked at together

// What can be told to people as it stands.
export class Problem extends Error {}

export async function load(card) {
  const response = await fetch(card.model).catch(() => null);
  if (!response?.ok) throw new Problem(`The model can't be loaded: ${card.model} is missing. Try to load the page again.`);
  const modelAssetBuffer = new Uint8Array(await response.arrayBuffer());
  const options = { baseOptions: { modelAssetBuffer, delegate: "CPU" }, runningMode: "IMAGE", maxResults: -1 };
  let model;
  try {
    model = await ImageClassifier.createFromOptions(RUNTIME, options);
  } catch (error) {
    console.error(error);
    throw new Problem("The model can't be started: its file or the runtime's is damaged. Try to load the page again.");
  }
  model.classify(new ImageData(card.image_size, card.image_size)); // the first call takes some ten times as long
  return (picture, ground) => classify(model, card, picture, ground);
}

// `picture` is an ImageBitmap or a playing video. Labels come as [{ label, probability }], the most probable first.
function classify(model, card, picture, ground = "white") {
  const began = performance.now();
  const pixels = resized(strips(picture, ground), card.image_size, card.resize, card.interpolation);
  const { categories } = model.classify(pixels).classifications[0];
  const labels = categories.map(({ categoryName, score }) => ({ label: categoryName, probability: score }));
  labels.sort((first, second) => second.probability - first.probability);
  const unsure = labels[0].probability < card.min_confidence;
  return { labels, unsure, milliseconds: performance.now() - began };
}

export async function opened(file) {
  // Pixels as they are in the file, turned upright by EXIF (the default): training knows nothing of colour profiles either.
  try {
    return await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Problem(`${file.name} is no picture that this browser can read. JPEG, PNG, GIF and WebP are.`);
  }
}

// What lay behind transparent parts in training.
export const ground = (file) => (file.type === "image/gif" ? "black" : "white");

// The rows of a picture, through a canvas that is never large: phones leave one as large as a photo blank, without an error.
function strips(picture, ground) {
  const [width, height] = [picture.videoWidth ?? picture.width, picture.videoHeight ?? picture.height];
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, Math.min(height, Math.ceil(STRIP / width))];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = ground;
  let [first, data] = [-canvas.height, null];
  const row = (place) => {
    if (place >= first + canvas.height) {
      first = place;
      context.fillRect(0, 0, width, canvas.height);
      context.drawImage(picture, 0, -first);
      data = context.getImageData(0, 0, width, canvas.height).data;
    }
    return data.subarray(4 * width * (place - first), 4 * width * (place - first + 1));
  };
  return { width, height, row };
}
