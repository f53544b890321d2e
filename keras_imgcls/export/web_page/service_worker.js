// Keeps the page's files, so that it opens without a network. Another version is another cache; the old one goes.

const VERSION = "";
const FILES = [];

self.addEventListener("install", (event) => {
  const fresh = FILES.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(VERSION).then((cache) => cache.addAll(fresh)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const scope = VERSION.slice(0, VERSION.lastIndexOf(" "));
  const outdated = (names) => names.filter((name) => name !== VERSION && name.startsWith(`${scope} `));
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(outdated(names).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const answer = async () => {
    const kept = await (await caches.open(VERSION)).match(event.request, { ignoreSearch: true });
    return kept ?? fetch(event.request);
  };
  if (event.request.method === "GET") event.respondWith(answer());
});
