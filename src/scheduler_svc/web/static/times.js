// Times: in the viewer's zone, or in UTC by a switch; UTC and the job's zone are always at hand.
// <time datetime="...Z" [data-zone="Europe/Berlin"] [data-only="clock"]>
// <span data-until="...Z">in 3 min</span> counts, down or up.

let inUtc = false;
// How far this clock is from the service's: countdowns go by the service's.
let skew = 0;

const options = {
  date: { weekday: "short", day: "numeric", month: "short" },
  year: { day: "numeric", month: "short", year: "numeric" },
  clock: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  minutes: { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
};
const formats = new Map();

function written(at, kind, zone) {
  const key = `${kind} ${zone ?? ""}`;
  if (!formats.has(key)) {
    formats.set(key, new Intl.DateTimeFormat("en-GB", { ...options[kind], timeZone: zone }));
  }
  return formats.get(key).format(at);
}

function inZone(at, zone) {
  return `${written(at, "date", zone)} ${at.getUTCFullYear()} ${written(at, "clock", zone)}`;
}

export function serviceNow() {
  return Date.now() + skew;
}

export function tell(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  const zone = inUtc ? "UTC" : undefined;
  const now = new Date(serviceNow());
  const only = element.dataset.only;
  const today = written(at, "year", zone) === written(now, "year", zone);
  const thisYear = Math.abs(now - at) < 300 * 86400e3;
  let text = written(at, only === "minutes" ? "minutes" : "clock", zone);
  if (only === "date") text = written(at, "year", zone);
  else if (!only && !today) text = `${written(at, thisYear ? "date" : "year", zone)} ${text}`;
  element.textContent = text;
  const lines = [`${inZone(at, "UTC")} UTC`];
  if (!inUtc) lines.unshift(`${inZone(at)} (your time)`);
  const its = element.dataset.zone;
  if (its && its !== "UTC") {
    try {
      lines.push(`${inZone(at, its)} ${its} (the job's zone)`);
    } catch {
      lines.push(`the job's zone is ${its}`);
    }
  }
  element.title = lines.join("\n");
}

// As web/wording.py writes durations.
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10000) return `${(ms / 1000).toFixed(1)} s`;
  const words = [];
  let rest = Math.floor(ms);
  for (const [size, unit] of [[86400000, "d"], [3600000, "h"], [60000, "min"], [1000, "s"]]) {
    const count = Math.floor(rest / size);
    rest %= size;
    if (count || words.length) words.push(count ? `${count} ${unit}` : "");
    if (words.length === 2) break;
  }
  return words.filter(Boolean).join(" ");
}

function count(element) {
  const off = new Date(element.dataset.until).getTime() - serviceNow();
  if (Number.isNaN(off)) return;
  const whole = Math.round(Math.abs(off) / 1000) * 1000;
  if (whole < 1000) element.textContent = "now";
  else {
    const said = whole < 10000 ? `${whole / 1000} s` : duration(whole);
    element.textContent = off > 0 ? `in ${said}` : `${said} ago`;
  }
}

export function tellAll(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) tell(element);
  for (const element of root.querySelectorAll("[data-until]")) count(element);
}

export function startTimes({ kept, keep }) {
  const made = document.querySelector("meta[name=service-now]");
  if (made) {
    // The answer was made a moment before it was read: half of what it took is the network's.
    const [entry] = performance.getEntriesByType("navigation");
    const readAt = entry ? performance.timeOrigin + entry.responseStart : Date.now();
    skew = new Date(made.content).getTime() - readAt;
    if (Math.abs(skew) < 2000) skew = 0;
  }
  inUtc = kept("times") === "utc";
  const button = document.querySelector("[data-switch=times]");
  if (button) {
    const show = () => {
      button.textContent = inUtc ? "UTC" : "Your time";
      button.setAttribute("aria-label", inUtc ? "Times are in UTC: show yours" : "Times are yours: show UTC");
    };
    button.addEventListener("click", () => {
      inUtc = !inUtc;
      keep("times", inUtc ? "utc" : "own");
      show();
      tellAll();
    });
    show();
  }
  tellAll();
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("[data-until]")) count(element);
  }, 1000);
}
