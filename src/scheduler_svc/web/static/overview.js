// The overview's list of what happens, told by the stream itself: no request stands between an event
// and its line. Names of jobs are known from the page, or asked for once.
import { send } from "./actions.js";
import { fetchRegion } from "./live.js";
import { tell } from "./times.js";

const list = document.getElementById("ticker");
const most = Number(list?.dataset.most ?? 14);
const names = new Map();
const waiting = [];
let asked = 0;

for (const row of list?.children ?? []) names.set(row.dataset.job, row.querySelector(".what").textContent);

async function nameOf(job, link) {
  if (names.has(job)) return void (link.textContent = names.get(job));
  link.textContent = `job ${job.slice(-8)}`;
  if (asked >= 4) return; // a crowd of new jobs: their ids will do
  asked += 1;
  try {
    const { name } = await send("GET", `/jobs/${job}`);
    if (name) {
      names.set(job, name);
      link.textContent = name;
    }
  } catch {
    // the id stays
  } finally {
    asked -= 1;
  }
}

function show(told) {
  let row = [...list.children].find((one) => one.dataset.run === told.id);
  if (!row) {
    row = document.createElement("li");
    row.dataset.run = told.id;
    row.dataset.job = told.job_id;
    const badge = document.createElement("span");
    const link = document.createElement("a");
    link.className = "what";
    link.href = told.name.startsWith("run.") ? `/ui/runs/${told.id}` : `/ui/jobs/${told.job_id}`;
    const time = document.createElement("time");
    time.dataset.only = "clock";
    row.append(badge, " ", link, " ", time);
    nameOf(told.job_id, link);
    list.prepend(row);
    while (list.children.length > most) list.lastElementChild.remove();
  }
  const badge = row.querySelector("span");
  const status = told.name.startsWith("run.") ? told.status : told.name.slice(4);
  badge.className = `badge s-${status}`;
  badge.textContent = status;
  const time = row.querySelector("time");
  time.dateTime = told.at;
  tell(time);
  row.classList.remove("fresh");
  void row.offsetWidth; // begin the glow anew
  row.classList.add("fresh");
}

if (list) {
  document.addEventListener("happened", (event) => {
    if (waiting.length === 0) requestAnimationFrame(draw);
    waiting.push(event.detail);
    if (waiting.length > 4 * most) waiting.splice(0, waiting.length - 2 * most);
  });
}

function draw() {
  const none = document.querySelector(".ticker-none");
  if (none) none.hidden = true;
  for (const told of waiting.splice(0)) show(told);
}

const pending = document.querySelector("[data-pending][data-fetch]");
if (pending) fetchRegion(pending.dataset.fetch, pending.dataset.region).catch(() => {});
