// Sending failed runs again: counted first, sent only where as many match as were counted.
import { Refused, say, send } from "./actions.js";
import { refreshRegions } from "./live.js";

const LOOK_MS = 2000;

const panel = document.getElementById("again");
const form = document.getElementById("replay-all");

async function count() {
  const filter = JSON.parse(panel.dataset.filter);
  const button = form.querySelector("button");
  const shown = document.getElementById("replay-count");
  try {
    const told = await send("POST", "/runs/replay", { filter, dry_run: true });
    shown.textContent = told.count.toLocaleString("en-GB");
    form.dataset.count = told.count;
    button.disabled = told.count === 0;
    button.textContent = told.count === 1 ? "Replay 1 run" : `Replay ${shown.textContent} runs`;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    shown.textContent = "not known";
    say(form, error.message);
  }
}

// A replay tells no event of its own: while one is under way its row is looked at now and then.
function follow() {
  if (!document.querySelector("[data-region=replays] .s-running")) return;
  setTimeout(async () => {
    if (!document.hidden) await refreshRegions().catch(() => {});
    follow();
  }, LOOK_MS);
}

if (form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    say(form, "");
    try {
      await send("POST", "/runs/replay", {
        filter: JSON.parse(panel.dataset.filter),
        max_per_minute: Number(form.elements.max_per_minute.value),
        expect_count: Number(form.dataset.count),
      });
      location.reload();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      say(form, error.message);
      if (error.status === 409) await count();
      else button.disabled = false;
    }
  });
  count();
}
follow();
