// The page as a browser shows it: what it asks for, what it says, how it is reached, how large it is.
// node browser.mjs CHROMIUM PAGE FOLDER: prints a line per check, and ends with 1 if one failed.
import { mkdtempSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const [chromium, page, shots] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const url = pathToFileURL(page).href;
const SIZES = [[1400, 900], [400, 800]];
const WIDTHS = [400, 600, 900, 1200, 1600];
const MOST = { page: 14_000, chapter: 3_000, bytes: 2.5e6 };
const said = [];
const check = (name, holds, seen = "") => {
  said.push(holds);
  console.log(`${holds ? "ok  " : "FAIL"} ${name}${seen === "" ? "" : `: ${seen}`}`);
};

const browser = await puppeteer.launch({
  executablePath: chromium, headless: true, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});

// A tab that notes what it asks for and what it complains of.
async function visit(width, height, theme = "light", script = true) {
  const tab = await browser.newPage();
  const noted = { requests: [], complaints: [] };
  tab.on("request", (one) => {
    if (one.url() !== url && !/^(data|blob):/.test(one.url())) noted.requests.push(one.url());
  });
  tab.on("console", (one) => { if (["error", "warn"].includes(one.type())) noted.complaints.push(one.text()); });
  tab.on("pageerror", (one) => noted.complaints.push(String(one)));
  await tab.setViewport({ width, height });
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
  await tab.setJavaScriptEnabled(script);
  await tab.goto(url, { waitUntil: "load" });
  return { tab, noted };
}

async function serious(tab) {
  await tab.evaluate(axe);
  const found = await tab.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return found.violations.filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id} (${one.nodes.length}: ${one.nodes[0].target.join(" ")})`);
}

const openAll = (tab) => tab.evaluate(() => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
const overflow = (tab) => tab.evaluate(() => document.documentElement.scrollWidth - innerWidth);

check("weight", statSync(page).size <= MOST.bytes, `${(statSync(page).size / 1e6).toFixed(2)} MB`);
for (const [width, height] of SIZES) {
  for (const theme of ["light", "dark"]) {
    const { tab, noted } = await visit(width, height, theme);
    const name = `${width}-${theme}`;
    await tab.screenshot({ path: join(shots, `first-${name}.png`) });
    await tab.screenshot({ path: join(shots, `page-${name}.png`), fullPage: true });
    check(`${name} serious findings, folded`, !(await serious(tab)).length, await serious(tab));
    if (width === SIZES[0][0]) {
      const tall = await tab.evaluate(() => document.documentElement.scrollHeight);
      check(`${name} height folded`, tall <= MOST.page, `${tall} px`);
      const chapters = await tab.evaluate(() => [...document.querySelectorAll("section.chapter")]
        .map((one) => [one.getAttribute("aria-labelledby"), Math.round(one.getBoundingClientRect().height)]));
      check(`${name} chapters folded`, chapters.every(([, px]) => px <= MOST.chapter), chapters.join(" "));
    }
    await openAll(tab);
    check(`${name} serious findings, open`, !(await serious(tab)).length, await serious(tab));
    check(`${name} sideways, open`, (await overflow(tab)) <= 0, `${await overflow(tab)} px`);
    await tab.screenshot({ path: join(shots, `open-${name}.png`), fullPage: true, captureBeyondViewport: true })
      .catch((fault) => console.log(`     no picture of ${name} with all open: ${fault.message}`));
    check(`${name} requests`, !noted.requests.length, noted.requests);
    check(`${name} console`, !noted.complaints.length, noted.complaints);
    await tab.close();
  }
}

for (const width of WIDTHS) {
  const { tab } = await visit(width, 800);
  check(`sideways at ${width}`, (await overflow(tab)) <= 0, `${await overflow(tab)} px`);
  await tab.close();
}

{ // Keyboard: the skip link, then every entry of the contents, then a fold.
  const { tab } = await visit(1400, 900);
  const focused = () => tab.evaluate(() => document.activeElement.outerHTML.slice(0, 120));
  await tab.keyboard.press("Tab");
  check("the first stop skips to the results", (await focused()).includes('href="#main"'), await focused());
  const entries = await tab.evaluate(() => [...document.querySelectorAll("#contents > ul > li > a")].map((one) => one.hash));
  const reached = [];
  for (let stop = 0; stop < 40 && reached.length < entries.length; stop += 1) {
    await tab.keyboard.press("Tab");
    const hash = await tab.evaluate(() => (document.activeElement.closest("#contents") ? document.activeElement.hash : ""));
    if (entries.includes(hash)) reached.push(hash);
  }
  check("all contents are stops", String(reached) === String(entries), reached);
  await tab.focus(`#contents a[href="${entries[1]}"]`);
  await tab.keyboard.press("Enter");
  await new Promise((done) => setTimeout(done, 300));
  const here = await tab.evaluate(() => document.querySelector("#contents [aria-current]").hash);
  check("the contents know the place", here === entries[1], here);
  await tab.focus("section.chapter details.fold summary");
  await tab.keyboard.press("Enter");
  check("Enter opens a fold", await tab.evaluate(() => document.querySelector("section.chapter details.fold").open));
  const target = await tab.evaluate(() => [...document.querySelectorAll("details.fold")].at(-1).id);
  await tab.evaluate((id) => { location.hash = id; }, target);
  await new Promise((done) => setTimeout(done, 200));
  check("a link opens its fold", await tab.evaluate((id) => document.getElementById(id).open, target), target);
  await tab.close();
}

{ // Tables and figures: sorted, filtered, saved.
  const { tab } = await visit(1400, 900);
  const folder = mkdtempSync(join(tmpdir(), "saved-"));
  const session = await tab.createCDPSession();
  await session.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath: folder });
  await openAll(tab);
  const sorted = await tab.evaluate(() => {
    const table = [...document.querySelectorAll("table")].find((one) => one.id.endsWith("-cost-table"));
    const at = [...table.tHead.rows[0].cells].findIndex((one) => one.innerText.startsWith("CPU s"));
    const values = () => [...table.tBodies[0].rows].map((row) => parseFloat(row.cells[at].innerText.replaceAll(",", "")))
      .filter((one) => !Number.isNaN(one));
    const press = () => { table.tHead.rows[0].cells[at].querySelector("button").click(); return values(); };
    const [up, down] = [press(), press()];
    return up.every((one, k) => !k || up[k - 1] <= one) && down.every((one, k) => !k || down[k - 1] >= one) && up.length > 1;
  });
  check("a click sorts, another turns round", sorted);
  const filtered = await tab.evaluate(() => {
    const input = document.querySelector(".tools input");
    const table = input.closest(".tools").nextElementSibling.querySelector("table");
    const before = [...table.tBodies[0].rows].filter((row) => !row.hidden).length;
    const texts = [...table.tBodies[0].rows].map((row) => row.textContent.toLowerCase());
    const cells = [...table.tBodies[0].querySelectorAll("th, td")].map((cell) => cell.textContent.trim().toLowerCase());
    input.value = cells.find((text) => /^\w+$/.test(text) && !texts.every((row) => row.includes(text)));
    input.dispatchEvent(new Event("input"));
    const kept = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    return kept.length > 0 && kept.length < before && kept.every((row) => row.textContent.toLowerCase().includes(input.value));
  });
  check("a word filters", filtered);
  await tab.evaluate(() => {
    const press = (figure, text) => [...figure.querySelectorAll(".tool")].find((one) => one.textContent === text).click();
    const figure = [...document.querySelectorAll("figure")].find((one) => one.querySelector("table"));
    press(figure, "Save as SVG");
    press(figure, "Numbers as CSV");
  });
  await new Promise((done) => setTimeout(done, 1500));
  const files = readdirSync(folder);
  const read = (end) => readFileSync(join(folder, files.find((one) => one.endsWith(end)) ?? "none"), "utf8");
  check("a figure is saved", files.some((one) => one.endsWith(".svg")) && !read(".svg").includes("var(--"), files);
  check("its numbers are saved", files.some((one) => one.endsWith(".csv")) && read(".csv").split("\r\n").length > 2);
  await tab.close();
}

{ // Paper, and no script.
  const { tab } = await visit(1400, 900);
  await tab.emulateMediaType("print");
  const hidden = () => [...document.querySelectorAll("details.fold table")].filter((one) => !one.getBoundingClientRect().height).length;
  check("paper has all folds open", (await tab.evaluate(hidden)) === 0, await tab.evaluate(hidden));
  await tab.close();
  const plain = await visit(1400, 900, "light", false);
  const session = await plain.tab.createCDPSession();
  const { root } = await session.send("DOM.getDocument", { depth: -1 });
  const count = async (selector) => (await session.send("DOM.querySelectorAll", { nodeId: root.nodeId, selector })).nodeIds.length;
  const [folds, rows] = [await count("details.fold"), await count("tbody tr")];
  check("without script there are folds and rows", folds > 0 && rows > 0, `${folds} folds, ${rows} rows`);
  await plain.tab.close();
}

await browser.close();
console.log(`${said.filter(Boolean).length} of ${said.length} checks hold; pictures in ${shots}.`);
process.exit(said.every(Boolean) ? 0 : 1);
