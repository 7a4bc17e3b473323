"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("scripted");

  // Theme: the system's, until one is chosen.
  const button = document.getElementById("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const current = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const label = () => { button.textContent = current() === "dark" ? "Light theme" : "Dark theme"; };
  button.addEventListener("click", () => { root.dataset.theme = current() === "dark" ? "light" : "dark"; label(); });
  dark.addEventListener("change", label);
  label();

  // The value of a cell: its exact number, else its text.
  const exact = (cell) => {
    const number = cell && cell.querySelector("data");
    return number ? number.value : cell ? cell.innerText.trim() : "";
  };
  const compare = (one, other, down) => {
    const [a, b] = [parseFloat(one), parseFloat(other)];
    if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1; // what is missing goes last, up or down
    const order = Number.isNaN(a) ? one.localeCompare(other) : a - b;
    return down ? -order : order;
  };

  const sort = (table, column, down) => {
    const body = table.tBodies[0];
    const parts = [[]];
    for (const row of body.rows) {
      if (row.classList.contains("group")) parts.push([row], []);
      else parts[parts.length - 1].push(row);
    }
    for (const part of parts) {
      part.sort((one, other) => {
        const [a, b] = [one, other].map((row) => exact(row.cells[column]));
        return compare(a, b, down);
      });
      part.forEach((row) => body.append(row));
    }
  };

  const heads = (table) => [...table.tHead.rows[0].cells];
  for (const table of document.querySelectorAll("table.sortable")) {
    heads(table).forEach((head, column) => {
      const text = head.querySelector(".head");
      if (!text) return;
      const press = document.createElement("button");
      press.type = "button";
      press.className = "sort";
      text.replaceWith(press);
      press.append(text);
      press.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads(table).forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, column, down);
      });
    });
  }

  // A table as CSV: every number as it is in its file, an interval in brackets after it, in the same cell.
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const asText = (cell) => {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll(".pill").forEach((one) => one.remove());
    copy.querySelectorAll("data").forEach((one) => { one.textContent = one.value; });
    return copy.textContent.replace(/\s+/g, " ").trim();
  };
  for (const link of document.querySelectorAll("button.csv")) {
    link.addEventListener("click", () => {
      const table = document.getElementById(link.dataset.table);
      const lines = [...table.rows].map((row) => [...row.cells].map((cell) => quoted(asText(cell))).join(","));
      const file = new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv" });
      const made = document.createElement("a");
      made.href = URL.createObjectURL(file);
      made.download = `${link.dataset.table}.csv`;
      made.click();
      URL.revokeObjectURL(made.href);
    });
  }
  for (const copy of document.querySelectorAll("button.copy")) {
    copy.addEventListener("click", async () => {
      const text = document.getElementById(copy.dataset.text).innerText;
      const said = copy.textContent;
      try { await navigator.clipboard.writeText(text); copy.textContent = "Copied"; }
      catch { copy.textContent = "Copying is not allowed here: select the text"; }
      setTimeout(() => { copy.textContent = said; }, 2000);
    });
  }

  // Everything is shown on paper.
  window.addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details:not([open])")) { one.open = true; one.dataset.folded = ""; }
  });
  window.addEventListener("afterprint", () => {
    for (const one of document.querySelectorAll("details[data-folded]")) { one.open = false; delete one.dataset.folded; }
  });

  // The section in view is marked in the list of sections.
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  document.querySelectorAll("main section").forEach((section) => watch.observe(section));
})();
