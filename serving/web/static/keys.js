// Keyboard shortcuts of the list and the account page; every action also works without them.
(() => {
  "use strict";
  const isTyping = (element) => element.closest("input, select, textarea, button, [contenteditable]");
  const links = () => [...document.querySelectorAll("table.list tbody th a")];
  const click = (selector) => document.querySelector(selector)?.click();
  const focusRow = (link) => {
    link.focus();
    link.closest("tr").scrollIntoView({ block: "nearest" });
  };
  const moveFocus = (by) => {
    const all = links();
    if (!all.length) return;
    const current = all.indexOf(document.activeElement);
    focusRow(all[Math.min(Math.max(current < 0 ? (by > 0 ? 0 : all.length - 1) : current + by, 0), all.length - 1)]);
  };
  const keys = {
    j: () => moveFocus(1),
    k: () => moveFocus(-1),
    n: () => click("a[rel=next]"),
    p: () => click("a[rel=prev]"),
    N: () => click("a[rel=last]"),
    P: () => click("a[rel=first]"),
    u: () => click("a[rel=up]"),
    f: () => document.querySelector("form.feedback input[type=radio]")?.focus(),
    "/": () => document.getElementById("q")?.focus(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && event.target.id === "q") return event.target.blur();
    if (isTyping(event.target) || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });

  // Return to the list with the same filters, focused on the last visited account.
  const storage = window.sessionStorage;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link) return;
    if (links().includes(link)) {
      storage.setItem("list", location.search);
      storage.setItem("account", link.getAttribute("href"));
    }
    if (link.rel === "up") storage.setItem("back", "yes");
  });
  const up = document.querySelector("a[rel=up]");
  const query = storage.getItem("list") ?? "";
  if (up && query.startsWith("?")) up.setAttribute("href", `/${query}`);
  if (location.pathname === "/" && storage.getItem("back")) {
    storage.removeItem("back");
    const visited = links().find((link) => link.getAttribute("href") === storage.getItem("account"));
    if (visited) focusRow(visited);
  }
})();
