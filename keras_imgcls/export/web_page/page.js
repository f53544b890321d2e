// The page: pictures and the camera in, labels with bars out. Text is set as text, never as markup.

import { Camera } from "./camera.js";
import { Problem, load, opened } from "./classifier.js";

const SHOWN = 5; // labels of a picture
const ANNOUNCED_EVERY = 2000; // milliseconds between two sentences about the camera's picture

const element = (id) => document.getElementById(id);
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat("en", { dateStyle: "long" });

async function start() {
  const response = await fetch("card.json").catch(() => null);
  if (!response?.ok) throw new Problem("The page is not whole: card.json is missing.");
  const card = await response.json();
  introduce(card);
  const classify = await load(card);
  element("status").textContent = "";
  const files = element("files");
  files.disabled = element("camera").disabled = false;
  files.addEventListener("change", () => { classifyAll(classify, [...files.files]); files.value = ""; });
  acceptDrops(classify);
  runCamera(classify);
}

function introduce(card) {
  document.title = card.name;
  element("name").textContent = card.name;
  const interval = `${percent.format(card.accuracy_low)} to ${percent.format(card.accuracy_high)}`;
  element("about").textContent = `Tells ${card.classes.length} classes apart. Right on ${percent.format(card.accuracy)} of ` +
    `${card.images} ${card.split} pictures (95 % interval ${interval}). ${day.format(new Date(card.date))}.`;
  const facts = { Classes: card.classes.join(", "), Network: card.network, "Trained on": card.dataset, File: card.model };
  for (const [name, value] of Object.entries(facts)) {
    element("facts").append(made("dt", name), made("dd", value));
  }
  element("card").hidden = false;
}

async function classifyAll(classify, files) {
  for (const [number, file] of files.entries()) {
    element("status").textContent = files.length > 1 ? `${number + 1} of ${files.length}` : "";
    try {
      const picture = await opened(file);
      show(file.name, classify(picture), picture);
    } catch (error) {
      refuse(error);
    }
    await new Promise((resolve) => { setTimeout(resolve); }); // lets the page draw
  }
  element("status").textContent = "";
}

function show(name, answer, picture) {
  const shown = element("result").content.cloneNode(true);
  const canvas = shown.querySelector("canvas");
  const scale = Math.min(1, 320 / Math.max(picture.width, picture.height));
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  canvas.setAttribute("aria-label", name);
  picture.close();
  describe(shown, answer, name);
  element("results").prepend(shown);
  element("announcement").textContent = `${name}: ${sentence(answer)}`;
}

// A line in the place of an answer: it stays while the other pictures are done.
function refuse(error) {
  const item = made("li", told(error));
  item.className = "problem";
  element("results").prepend(item);
  element("announcement").textContent = item.textContent;
}

// Fills heading, bars and the line below them.
function describe(place, answer, name) {
  place.querySelector("h2").textContent = headline(answer);
  place.querySelector(".labels").replaceChildren(...answer.labels.slice(0, SHOWN).map(bar));
  place.querySelector(".hint").textContent = `${name} · ${Math.round(answer.milliseconds)} ms`;
}

function bar({ label, probability }) {
  const meter = made("meter");
  meter.value = probability;
  meter.setAttribute("aria-hidden", "true"); // the number beside it says the same
  const line = made("span");
  line.append(made("span", label), made("span", percent.format(probability)));
  const item = made("li");
  item.append(line, meter);
  return item;
}

const headline = (answer) => (answer.unsure ? "unsure" : answer.labels[0].label);
const sentence = (answer) => `${headline(answer)}, ${percent.format(answer.labels[0].probability)}`;

function acceptDrops(classify) {
  const over = (event) => { event.preventDefault(); element("drop").classList.add("over"); };
  const out = () => element("drop").classList.remove("over");
  document.addEventListener("dragover", over);
  document.addEventListener("dragleave", out);
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    out();
    classifyAll(classify, [...event.dataTransfer.files]);
  });
}

function runCamera(classify) {
  const camera = new Camera(element("video"));
  const guarded = (action) => async () => {
    element("status").textContent = "";
    element("status").classList.remove("problem");
    try {
      await action();
    } catch (error) {
      close();
      complain(error);
    }
  };
  const close = () => {
    camera.stop();
    element("viewfinder").hidden = true;
    element("camera").hidden = false;
    element("live").replaceChildren();
    element("camera").focus();
  };
  const watch = () => camera.watch(liveView(classify));
  element("camera").addEventListener("click", guarded(async () => {
    element("viewfinder").hidden = false;
    element("camera").hidden = true;
    await camera.start();
    element("stop").focus();
    await watch();
  }));
  element("turn").addEventListener("click", guarded(async () => { await camera.turn(); await watch(); }));
  element("stop").addEventListener("click", close);
}

// A function of the video that shows what is in its frame now.
function liveView(classify) {
  const place = element("live");
  place.replaceChildren(made("h2"), made("ul"), made("p"));
  place.querySelector("ul").className = "labels";
  place.querySelector("p").className = "hint";
  let announced = 0;
  return (video) => {
    const answer = classify(video);
    describe(place, answer, "camera");
    if (performance.now() - announced > ANNOUNCED_EVERY) {
      element("announcement").textContent = sentence(answer);
      announced = performance.now();
    }
  };
}

function complain(error) {
  element("status").textContent = told(error);
  element("status").classList.add("problem");
}

function told(error) {
  if (error instanceof Problem) return error.message;
  console.error(error);
  return `Something went wrong: ${error.message}`;
}

function made(tag, text = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  return node;
}

navigator.serviceWorker?.register("service_worker.js"); // absent where the page came by plain http
start().catch(complain);
