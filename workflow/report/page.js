// Sorting, filtering, saving and the place in the contents. Without it all can be read all the same.
"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

  function save(name, type, text) {
    const link = make("a", { download: name, href: URL.createObjectURL(new Blob([text], { type })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  const rows = (table) => [...table.tBodies[0].rows];
  const button = (text, of, act) => {
    const made = make("button", { type: "button", className: "tool", textContent: text });
    made.setAttribute("aria-label", `${text}: ${of}`);
    made.addEventListener("click", act);
    return made;
  };

  function csv(table) {
    const quoted = (cell) => `"${cell.textContent.replace(/\s+/g, " ").trim().replaceAll('"', '""')}"`;
    const lines = [table.tHead.rows[0], ...rows(table)];
    return lines.map((row) => [...row.cells].map(quoted).join(",") + "\r\n").join("");
  }

  // The value of a cell for sorting: its first number, or its words.
  function rank(row, column) {
    const text = row.cells[column] ? row.cells[column].textContent.trim() : "";
    const number = parseFloat(text.replaceAll(",", "").replace("\u2212", "-"));
    return Number.isNaN(number) ? { text } : { number, text };
  }

  function before(a, b) {
    if (a.number !== undefined && b.number !== undefined) return a.number - b.number;
    if (a.number !== undefined || b.number !== undefined) return a.number === undefined ? 1 : -1;
    return a.text.localeCompare(b.text);
  }

  function sortable(table) {
    all("thead th", table).forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const sort = make("button", { type: "button", className: "sort", textContent: head.textContent.trim() });
      head.replaceChildren(sort);
      sort.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const ranked = rows(table).map((row) => [rank(row, column), row]);
        ranked.sort(([a], [b]) => (down ? before(b, a) : before(a, b)));
        table.tBodies[0].append(...ranked.map(([, row]) => row));
      });
    });
  }

  function filter(table) {
    const found = make("span", { className: "quiet" });
    found.setAttribute("aria-live", "polite");
    const input = make("input", { type: "search", placeholder: "filter rows" });
    input.setAttribute("aria-label", "Filter the rows of the table below");
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase().split(" ").filter(Boolean);
      rows(table).forEach((row) => {
        const text = row.textContent.toLowerCase();
        row.hidden = !wanted.every((word) => text.includes(word));
      });
      const shown = rows(table).filter((row) => !row.hidden).length;
      found.textContent = wanted.length ? `${shown} of ${rows(table).length} rows` : "";
    });
    return [input, found];
  }

  // A drawing as a file of its own: the colours of the page in place of its variables.
  function standalone(svg) {
    const style = getComputedStyle(document.documentElement);
    const copy = svg.cloneNode(true);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.style.background = style.getPropertyValue("--paper");
    copy.style.fontFamily = "sans-serif";
    return copy.outerHTML.replace(/var\((--\w+)\)/g, (_, name) => style.getPropertyValue(name).trim());
  }

  all("table[id]").forEach((table) => {
    sortable(table);
    const tools = make("div", { className: "tools" });
    if (rows(table).length > 8) tools.append(...filter(table));
    tools.append(button("CSV", table.id, () => save(`${table.id}.csv`, "text/csv", csv(table))));
    table.closest(".scroll").before(tools);
  });

  all("figure").forEach((figure, at) => {
    const svgs = all("svg", figure);
    if (!svgs.length) return;
    const name = (figure.id || `figure-${at + 1}`);
    const tools = make("div", { className: "tools" });
    const shown = () => svgs.filter((svg) => svg.getClientRects().length);
    tools.append(button("Save as SVG", name, () =>
      shown().forEach((svg, part) => save(`${name}${part ? `-${part + 1}` : ""}.svg`, "image/svg+xml", standalone(svg)))));
    const tables = all("table", figure);
    if (tables.length) {
      tools.append(button("Numbers as CSV", name, () =>
        save(`${name}.csv`, "text/csv", tables.map(csv).join("\r\n"))));
    }
    figure.append(tools);
  });

  // Only what scrolls is a stop of the keyboard.
  const stops = () => all(".scroll").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  });
  addEventListener("resize", stops);
  document.addEventListener("toggle", stops, true);
  stops();

  // Contents: parts of each chapter, and the place where one is.
  const entries = all("#contents > ul > li").map((item) => {
    const link = item.querySelector("a");
    const target = document.getElementById(link.hash.slice(1));
    const part = target.closest("section");
    const folds = all(":scope > .folds .fold", part);
    if (folds.length) {
      const list = make("ul");
      folds.forEach((fold) => {
        const own = make("a", { href: `#${fold.id}`, textContent: fold.querySelector("h3").textContent });
        list.append(make("li"));
        list.lastChild.append(own);
      });
      item.append(list);
    }
    return { item, link, part };
  });
  function locate() {
    const line = innerHeight / 3;
    let here = entries[0];
    entries.forEach((entry) => { if (entry.part.getBoundingClientRect().top <= line) here = entry; });
    if (scrollY + innerHeight >= document.documentElement.scrollHeight - 2) here = entries.at(-1);
    entries.forEach(({ item, link }) => {
      item.classList.toggle("here", item === here.item);
      if (item === here.item) link.setAttribute("aria-current", "location");
      else link.removeAttribute("aria-current");
    });
  }
  addEventListener("scroll", locate, { passive: true });
  addEventListener("resize", locate);
  locate();

  // A link into a fold opens it; paper has all folds open.
  function open() {
    let found = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const wanted = found;
    for (; found; found = found.parentElement) if (found.tagName === "DETAILS") found.open = true;
    if (wanted) wanted.scrollIntoView();
  }
  addEventListener("hashchange", open);
  open();
  const closed = new Set();
  addEventListener("beforeprint", () => all("details:not([open])").forEach((one) => { closed.add(one); one.open = true; }));
  addEventListener("afterprint", () => { closed.forEach((one) => { one.open = false; }); closed.clear(); });
})();
