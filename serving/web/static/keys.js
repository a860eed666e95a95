// Keys on the list and on an account; everything they do can be done without them.
(() => {
  "use strict";
  const typing = (at) => at.closest("input, select, textarea, button, [contenteditable]");
  const links = () => [...document.querySelectorAll("table.list tbody th a")];
  const go = (query) => document.querySelector(query)?.click();
  const reach = (link) => {
    link.focus();
    link.closest("tr").scrollIntoView({ block: "nearest" });
  };
  const step = (by) => {
    const all = links();
    if (!all.length) return;
    const here = all.indexOf(document.activeElement);
    reach(all[Math.min(Math.max(here < 0 ? (by > 0 ? 0 : all.length - 1) : here + by, 0), all.length - 1)]);
  };
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    n: () => go("a[rel=next]"),
    p: () => go("a[rel=prev]"),
    N: () => go("a[rel=last]"),
    P: () => go("a[rel=first]"),
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

  // Back to the list as it was narrowed, at the account that was left.
  const kept = window.sessionStorage;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    if (links().includes(link)) {
      kept.setItem("list", location.search);
      kept.setItem("account", link.getAttribute("href"));
    }
    if (link.rel === "up") kept.setItem("back", "yes");
  });
  const up = document.querySelector("a[rel=up]");
  const query = kept.getItem("list") ?? "";
  if (up && query.startsWith("?")) up.setAttribute("href", `/${query}`);
  if (location.pathname === "/" && kept.getItem("back")) {
    kept.removeItem("back");
    const left = links().find((link) => link.getAttribute("href") === kept.getItem("account"));
    if (left) reach(left);
  }
})();
