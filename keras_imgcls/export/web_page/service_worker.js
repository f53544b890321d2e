// Keeps the page's files, so that it opens without a network. Another version is another cache; the old one goes.

const VERSION = "";
const FILES = {}; // name: checksum, so that two versions don't mix while a server's folder is being replaced
const PAGE = `keras_imgcls ${self.registration.scope} `; // other pages of this server have caches of their own

self.addEventListener("install", (event) => {
  const fresh = Object.entries(FILES).map(([file, integrity]) => new Request(file, { cache: "reload", integrity }));
  event.waitUntil(caches.open(PAGE + VERSION).then((cache) => cache.addAll(fresh)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const outdated = (names) => names.filter((name) => name.startsWith(PAGE) && name !== PAGE + VERSION);
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(outdated(names).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const answer = async () => {
    const isPage = event.request.url.replace(/[?#].*/, "") === `${self.registration.scope}index.html`;
    const asked = isPage ? "." : event.request; // some servers redirect the longer name, and what was redirected can't be kept
    const kept = await caches.match(asked, { cacheName: PAGE + VERSION, ignoreSearch: true });
    return kept ?? fetch(event.request);
  };
  if (event.request.method === "GET") event.respondWith(answer());
});
