// Keys on the list and on an account; everything they do can be done without them.
(() => {
  "use strict";
  const typing = (at) => at.closest("input, select, textarea, button, [contenteditable]");
  const links = () => [...document.querySelectorAll("table.list th a")];
  const go = (query) => document.querySelector(query)?.click();
  const step = (by) => {
    const all = links();
    if (!all.length) return;
    const here = all.indexOf(document.activeElement);
    const next = all[Math.min(Math.max(here < 0 ? (by > 0 ? 0 : all.length - 1) : here + by, 0), all.length - 1)];
    next.focus();
    next.closest("tr").scrollIntoView({ block: "nearest" });
  };
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    n: () => go("a[rel=next]"),
    p: () => go("a[rel=prev]"),
    u: () => go("a[rel=up]"),
    f: () => document.querySelector(".answer input[type=radio]")?.focus(),
    "/": () => document.getElementById("q")?.focus(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && event.target.id === "q") return event.target.blur();
    if (typing(event.target) || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
})();
