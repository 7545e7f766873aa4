// What is live. <main data-live=""> watches everything, <main data-live="JOB_ID"> one job.
// With data-part="live" the page is asked for that part of itself (?part=live), which costs less.
// On an event every [data-region] of the page is replaced by the one of the same name in the page as
// it is now: the server writes it, so there is one way to show a thing. Others listen for the
// document's "happened" event, whose detail is {name, id, job_id, status, scheduled_for, at}.
import { namespaceHeader } from "./actions.js";
import { Stream } from "./stream.js";
import { tellAll } from "./times.js";

const SETTLED_MS = 2000;
const NAMES = [
  ...["run.started", "run.succeeded", "run.failed", "run.retrying", "run.skipped", "run.cancelled"],
  ...["job.created", "job.updated", "job.paused", "job.resumed", "job.completed", "job.deleted"],
];

function show(state, words) {
  for (const element of document.querySelectorAll(".live")) {
    element.dataset.state = state;
    element.textContent = words;
  }
}

// At most one refresh at a time, and `every` milliseconds apart; the first comes at once.
function paced(refresh, every) {
  let last = -Infinity;
  let timer = null;
  let running = false;
  const go = async () => {
    timer = null;
    if (running) return ask();
    running = true;
    last = performance.now();
    try {
      await refresh();
    } finally {
      running = false;
    }
  };
  const ask = () => {
    if (timer !== null) return;
    timer = setTimeout(go, Math.max(running ? 50 : 0, last + every - performance.now()));
  };
  return ask;
}

async function read(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" }, credentials: "same-origin" });
  if (!answer.ok || answer.redirected) return null;
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

function named(root, name) {
  return root.querySelector(`[data-region="${CSS.escape(name)}"]`);
}

// What is being filled in or read with the keyboard stays; what the server has not counted yet does
// not take the place of what it had.
function replace(region, next) {
  if (!next || region.contains(document.activeElement) || region.isEqualNode(next)) return;
  if ("pending" in next.dataset && !("pending" in region.dataset)) return;
  const known = new Set([...region.querySelectorAll("[data-row]")].map((row) => row.dataset.row));
  const made = document.adoptNode(next);
  for (const row of known.size ? made.querySelectorAll("[data-row]") : []) {
    if (!known.has(row.dataset.row)) row.classList.add("fresh");
  }
  tellAll(made);
  region.replaceWith(made);
}

// Replace one region by that of another address.
export async function fetchRegion(address, name) {
  const fresh = await read(address);
  const region = named(document, name);
  if (fresh && region) replace(region, named(fresh, name));
}

export async function refreshRegions() {
  const address = new URL(location.href);
  const part = document.querySelector("[data-live]")?.dataset.part;
  if (part) address.searchParams.set("part", part);
  const fresh = await read(address);
  if (!fresh) return;
  for (const region of document.querySelectorAll("[data-region]")) {
    replace(region, named(fresh, region.dataset.region));
  }
}

export function startLive() {
  const root = document.querySelector("[data-live]");
  if (!root) return;
  const job = root.dataset.live;
  const every = Number(root.dataset.every ?? 1000);
  const refresh = paced(async () => {
    if (!document.hidden) await refreshRegions().catch(() => {});
  }, every);
  const address = job ? `/events?job_id=${encodeURIComponent(job)}` : "/events";
  const header = namespaceHeader();
  const stream = Object.keys(header).length ? new Stream(address, header) : new EventSource(address);
  stream.addEventListener("open", () => {
    show("live", "Live");
    // What happened after the page was made and before anybody watched has no event.
    refresh();
    if (job) setTimeout(refresh, SETTLED_MS);
  });
  stream.addEventListener("error", () => {
    show("lost", stream.readyState === EventSource.CLOSED ? "Not live: load the page again" : "Connecting…");
  });
  stream.addEventListener("gap", refresh);
  for (const name of NAMES) {
    stream.addEventListener(name, (event) => {
      const detail = { name, ...JSON.parse(event.data) };
      document.dispatchEvent(new CustomEvent("happened", { detail }));
      refresh();
    });
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  addEventListener("pagehide", () => stream.close());
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}
