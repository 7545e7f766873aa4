// What every page does: switches, times in the viewer's zone, dialogs and forms, what is live.
import { startForms } from "./actions.js";
import { startLive } from "./live.js";
import { startTimes } from "./times.js";

function kept(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function keep(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // it lasts as long as the page, then
  }
}

function startTheme() {
  const button = document.querySelector("[data-switch=theme]");
  if (!button) return;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const now = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
  const show = () => {
    button.textContent = now() === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Use the ${button.textContent.toLowerCase()} theme`);
  };
  button.addEventListener("click", () => {
    const next = now() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    keep("theme", next);
    show();
  });
  dark.addEventListener("change", show);
  show();
}

// Which namespace a caller of all of them sees: kept in a cookie, for the server makes the pages.
function startNamespace() {
  document.querySelector("[data-choose=namespace]")?.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = new FormData(event.target).get("namespace");
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `scheduler_namespace=${chosen}; Path=/ui; Max-Age=31536000; SameSite=Lax${secure}`;
    location.assign("/ui");
  });
}

startTheme();
startNamespace();
startTimes({ kept, keep });
startForms();
startLive();
