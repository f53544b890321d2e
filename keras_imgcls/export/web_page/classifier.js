// The model: from a picture of any size to labels with probabilities, on this device.

import { resized } from "./resize.js";
import { ImageClassifier } from "./runtime/vision_bundle.js";

const RUNTIME = { wasmLoaderPath: "runtime/vision_wasm_internal.js", wasmBinaryPath: "runtime/vision_wasm_internal.wasm" };
// A module that uses one SIMD instruction: browsers since about 2021 (Safari since 16.4) accept it.
const SIMD = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]);

// What can be told to people as it stands.
export class Problem extends Error {}

export async function load(card) {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD)) {
    throw new Problem("This browser is too old to run the model. A current Chrome, Edge, Firefox or Safari does.");
  }
  const response = await fetch(card.model).catch(() => null);
  if (!response?.ok) throw new Problem(`The model can't be loaded: ${card.model} is missing. Try to load the page again.`);
  const modelAssetBuffer = new Uint8Array(await response.arrayBuffer());
  const options = { baseOptions: { modelAssetBuffer, delegate: "CPU" }, runningMode: "IMAGE", maxResults: -1 };
  let model;
  try {
    model = await ImageClassifier.createFromOptions(RUNTIME, options);
  } catch (error) {
    throw new Problem(`The model can't be started: ${error.message}`);
  }
  model.classify(new ImageData(card.image_size, card.image_size)); // the first call takes some ten times as long
  return (picture) => classify(model, card, picture);
}

// `picture` is an ImageBitmap or a playing video. Labels come as [{ label, probability }], the most probable first.
function classify(model, card, picture) {
  const began = performance.now();
  const pixels = resized(imageData(picture), card.image_size, card.resize, card.interpolation);
  const { categories } = model.classify(pixels).classifications[0];
  const labels = categories.map(({ categoryName, score }) => ({ label: categoryName, probability: score }));
  labels.sort((first, second) => second.probability - first.probability);
  const unsure = labels[0].probability < card.min_confidence;
  return { labels, unsure, milliseconds: performance.now() - began, pixels };
}

export async function opened(file) {
  // Pixels as they are in the file, turned upright by EXIF: training knows nothing of colour profiles either.
  const options = { colorSpaceConversion: "none", imageOrientation: "from-image" };
  try {
    return await createImageBitmap(file, options);
  } catch {
    throw new Problem(`${file.name} is no picture that this browser can read.`);
  }
}

function imageData(picture) {
  const [width, height] = [picture.videoWidth ?? picture.width, picture.videoHeight ?? picture.height];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white"; // what is transparent was white in training
  context.fillRect(0, 0, width, height);
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, width, height);
}
