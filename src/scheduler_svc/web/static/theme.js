// Runs before the page is painted: no flash of the other theme. Kept apart from the modules, which
// come later.
(() => {
  const root = document.documentElement;
  root.dataset.script = "";
  try {
    const kept = localStorage.getItem("theme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch {
    // without storage the system's theme it is
  }
})();
