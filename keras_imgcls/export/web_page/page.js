// The page: pictures and the camera in, labels with bars out. Text is set as text, never as markup.

import { Camera } from "./camera.js";
import { Problem, ground, load, opened } from "./classifier.js";

const SHOWN = 5; // labels of a picture
const ANNOUNCED_EVERY = 2000; // milliseconds, at least, between two sentences about the camera's picture

const element = (id) => document.getElementById(id);
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat("en", { dateStyle: "long", timeZone: "UTC" });
const isolated = (name) => `\u2068${name}\u2069`; // whichever way it is written, what stands beside it stays there

let used = false; // by anybody, since the page was loaded

async function start() {
  const response = await fetch("card.json").catch(() => null);
  if (!response?.ok) throw new Problem("The page is not whole: card.json is missing.");
  const card = await response.json();
  introduce(card);
  const classify = await load(card);
  say("");
  element("files").disabled = element("camera").disabled = false;
  runCamera(classify);
  return classify;
}

function introduce(card) {
  document.title = card.name;
  element("name").textContent = card.name;
  const interval = `${percent.format(card.accuracy_low)} to ${percent.format(card.accuracy_high)}`;
  element("about").textContent = `Tells ${card.classes.length} classes apart. Right on ${percent.format(card.accuracy)} of ` +
    `${card.images} ${card.split} pictures (95 % interval ${interval}). ${day.format(new Date(card.date))}.`;
  const facts = { Classes: card.classes.map(isolated).join(", "), Network: card.network, "Trained on": card.dataset, File: card.model };
  if (card.min_confidence > 0) facts.Unsure = `below ${percent.format(card.min_confidence)}`;
  for (const [name, value] of Object.entries(facts)) {
    element("facts").append(made("dt", name), made("dd", value));
  }
  element("card").hidden = false;
}

// Pictures are taken from the beginning on, and wait for the model and for those before them.
function takePictures(model) {
  let queue = Promise.resolve();
  const take = (files) => {
    used = true;
    queue = queue.then(async () => classifyAll(await model, files)).catch(() => {}); // a model that failed has said so
  };
  element("files").addEventListener("change", (event) => { take([...event.target.files]); event.target.value = ""; });
  acceptDrops(take);
}

async function classifyAll(classify, files) {
  const earlier = element("results").firstChild;
  let sentence = "";
  for (const [number, file] of files.entries()) {
    if (files.length > 1) element("progress").textContent = `${number + 1} of ${files.length}`;
    const [item, told] = await result(classify, file);
    element("results").insertBefore(item, earlier);
    sentence = told;
    await new Promise((resolve) => { setTimeout(resolve); }); // lets the page draw
  }
  element("progress").textContent = "";
  element("announcement").textContent = files.length > 1 ? `${files.length} pictures are done.` : sentence;
}

// The entry of a picture in the list, and what is read out: an answer, or a line that says why there is none.
async function result(classify, file) {
  try {
    const picture = await opened(file);
    const answer = classify(picture, ground(file));
    const entry = shown(file.name, answer, picture);
    picture.close();
    return [entry, `${file.name}: ${spoken(answer)}`];
  } catch (error) {
    const line = made("li", told(error));
    line.className = "problem";
    return [line, line.textContent];
  }
}

function shown(name, answer, picture) {
  const entry = element("result").content.cloneNode(true);
  const canvas = entry.querySelector("canvas");
  const scale = Math.min(1, 320 / Math.max(picture.width, picture.height));
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  canvas.setAttribute("aria-label", name);
  describe(entry, answer, name);
  return entry;
}

// Fills heading, bars and the line below them.
function describe(place, answer, name) {
  place.querySelector("h2").textContent = headline(answer);
  place.querySelector(".labels").replaceChildren(...answer.labels.slice(0, SHOWN).map(bar));
  place.querySelector(".hint").textContent = `${isolated(name)} · ${Math.round(answer.milliseconds)} ms`;
}

function bar({ label, probability }) {
  const meter = made("meter");
  meter.value = probability;
  meter.setAttribute("aria-hidden", "true"); // the number beside it says the same
  const line = made("p");
  line.append(made("bdi", label), made("span", percent.format(probability)));
  const item = made("li");
  item.append(line, meter);
  return item;
}

const headline = (answer) => (answer.unsure ? "unsure" : answer.labels[0].label);
const spoken = (answer) => `${headline(answer)}, ${percent.format(answer.labels[0].probability)}`;

function acceptDrops(take) {
  const over = (event) => { event.preventDefault(); element("drop").classList.add("over"); };
  const out = () => element("drop").classList.remove("over");
  document.addEventListener("dragover", over);
  document.addEventListener("dragleave", out);
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    out();
    take([...event.dataTransfer.files]);
  });
}

function runCamera(classify) {
  const camera = new Camera(element("video"));
  const close = () => {
    camera.stop();
    element("viewfinder").hidden = true;
    element("camera").hidden = false;
    element("live").replaceChildren();
    element("camera").focus();
  };
  const guarded = (action) => async () => {
    say("");
    try {
      if (!await action()) return;
      element("turn").hidden = !await camera.hasOthers(); // known once the camera was allowed
      await camera.watch(liveView(classify));
    } catch (error) {
      close();
      complain(error);
    }
  };
  const open = () => {
    used = true;
    element("viewfinder").hidden = false;
    element("camera").hidden = true;
    element("stop").focus();
    return camera.start();
  };
  element("camera").addEventListener("click", guarded(open));
  element("turn").addEventListener("click", guarded(() => camera.turn()));
  element("stop").addEventListener("click", close);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !element("viewfinder").hidden) close(); });
}

// A function of the video that shows what is in its frame now. It is read out when it changes.
function liveView(classify) {
  const place = element("live");
  place.replaceChildren(made("h2"), made("ul"), made("p"));
  place.querySelector("h2").dir = "auto";
  place.querySelector("ul").className = "labels";
  place.querySelector("p").className = "hint";
  let [announced, since] = ["", -ANNOUNCED_EVERY];
  return (video) => {
    const answer = classify(video);
    describe(place, answer, "camera");
    if (headline(answer) !== announced && performance.now() - since > ANNOUNCED_EVERY) {
      element("announcement").textContent = spoken(answer);
      [announced, since] = [headline(answer), performance.now()];
    }
  };
}

function say(sentence, className = "") {
  element("status").textContent = sentence;
  element("status").className = className;
}

function complain(error) {
  say(told(error), "problem");
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

// Another version of the page takes over as soon as it is whole. A page that nobody has used yet is loaded again, so that it is of
// one version; one in use is of one, and says that there is another.
function keepUp(workers) {
  const isKnown = Boolean(workers.controller);
  workers.addEventListener("controllerchange", () => {
    if (isKnown && !used) window.location.reload();
    element("update").hidden = !isKnown;
  });
  element("update").querySelector("button").addEventListener("click", () => window.location.reload());
  workers.register("service_worker.js").catch(console.warn); // without it the page needs its server, and that is all
}

if (navigator.serviceWorker) keepUp(navigator.serviceWorker); // absent where the page came by plain http
const model = start();
model.catch(complain);
takePictures(model);
