// The scheme somebody chose, set before anything is painted; without a choice the system's holds.
(() => {
  "use strict";
  try {
    const chosen = localStorage.getItem("fanfare.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage is switched off: the system's scheme holds.
  }
})();
