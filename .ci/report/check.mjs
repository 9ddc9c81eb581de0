// What a reader's browser makes of a report; ends with 1 at the first page that fails, after all its checks.
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import puppeteer from "puppeteer-core";

const [page_path, shots] = process.argv.slice(2);
const url = "file://" + page_path;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const faults = [];
const check = (what, holds, found) => {
  console.log(`${holds ? "ok  " : "FAIL"} ${what}${found === undefined ? "" : `: ${found}`}`);
  if (!holds) faults.push(what);
};

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--hide-scrollbars"],
});

const open = async ({ width = 1280, scripts = true, scheme = "light" }) => {
  const page = await browser.newPage();
  const seen = { console: [], requests: [] };
  page.on("console", message => seen.console.push(message.text()));
  page.on("pageerror", error => seen.console.push(String(error)));
  page.on("request", request => { if (!/^(data:|file:)/.test(request.url())) seen.requests.push(request.url()); });
  await page.setJavaScriptEnabled(scripts);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await page.setViewport({ width, height: 900 });
  await page.goto(url, { waitUntil: "load", timeout: 120000 });
  return { page, seen };
};

const shot = async (page, name) => {
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${basename(dirname(dirname(page_path)))}-${name}.png`) });
};

const MOST = 6e6;
const size = statSync(page_path).size;
check("the page has at most 6 MB", size <= MOST, `${(size / 1e6).toFixed(1)} MB`);

// the page as it is
const { page, seen } = await open({});
check("a verdict comes first", await page.$eval("main, header", e => e.querySelector(".verdict strong")?.textContent.length > 5));
const figures = await page.$$eval("figure .art > svg", all => all.map(svg => {
  const box = svg.getBoundingClientRect();
  return box.width > 100 && box.height > 50 && svg.querySelectorAll("path, polyline, rect, circle, polygon, line").length > 3;
}));
check("every figure is visible", figures.length > 0 && figures.every(Boolean), `${figures.length} figures`);
const thumbs = await page.$$eval("svg.thumb use", all => all.every(use => document.querySelector(use.getAttribute("href"))));
check("every thumbnail shows a figure of the page", thumbs);
const broken = await page.$$eval("a[href^='#']", all => all.map(a => a.getAttribute("href"))
  .filter(href => !document.getElementById(href.slice(1))));
check("every link inside the page leads somewhere", broken.length === 0, broken.join(" ") || undefined);

// filters and search
const shown = () => page.$$eval("#claims tbody tr", rows => rows.filter(row => !row.hidden).length);
const all = await shown();
await page.select("#claim-kind", "expected");
const expected = await shown();
await page.type("#claim-search", "no such words anywhere");
const none = await shown();
check("filters and search of the claims", all > expected && expected > 0 && none === 0, `${all}, ${expected}, ${none}`);
const searched = await page.evaluate(() => {
  const label = document.querySelector(".search");
  if (!label) return null;
  label.closest("details").open = true;
  const rows = [...label.parentElement.querySelectorAll("tbody tr")], input = label.querySelector("input");
  return [rows[0].cells[rows[0].cells.length - 1].textContent, "no such words anywhere"].map(text => {
    input.value = text;
    input.dispatchEvent(new Event("input"));
    return rows.filter(row => !row.hidden).length;
  });
});
const long = await page.$$eval("article table", tables => tables.some(table =>
  table.closest("details")?.querySelector("summary").textContent.includes(".csv") && table.tBodies[0].rows.length > 8));
check("search in a table", searched ? searched[0] >= 1 && searched[1] === 0 : !long, searched ?? "no long table");

// copying, with the right to and without
const copied = async () => page.$eval("[data-copy]", async button => {
  button.click();
  await new Promise(done => setTimeout(done, 200));
  return [button.textContent, getSelection().toString(), button.dataset.copy];
});
const [word, selected, command] = await copied();
check("a command is copied or selected", word === "Copied" || selected.trim() === command, word);

// the slider of the dual's steps
const slider = await page.$("[data-steps] input");
check("the dual's figure has its steps", Boolean(slider) || !(await page.$("#fig1-dual-scheme svg")));
if (slider) {
  const gap = () => page.$eval("[data-steps] output", e => Number(e.textContent.split(": ")[1]));
  const first = await gap();
  await slider.focus();
  await page.keyboard.press("End");
  const last = await gap();
  check("the dual's steps end at attention's output", first > 1e-3 && last < 1e-9, `${first} to ${last}`);
  await slider.evaluate(e => e.scrollIntoView({ block: "center" }));
  await shot(page, "steps");
}

// the values of a series under the pointer
const series = await page.evaluateHandle(() => [...document.querySelectorAll(".series[data-points][data-name]")]
  .find(group => group.querySelector("circle, polygon, rect")));
const lines = await page.$$eval(".series", all => all.length);
check("series carry their values", Boolean(series.asElement()) || lines === 0, `${lines} series`);
if (series.asElement()) {
  const mark = await series.evaluateHandle(group => group.querySelector("circle, polygon, rect"));
  await mark.evaluate(e => e.scrollIntoView({ block: "center" }));
  const box = await mark.asElement().boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  const text = await page.$eval(".tip", tip => tip.hidden ? "" : tip.innerText.replace(/\s+/g, " "));
  check("a series tells its values and rows", /\d/.test(text) && text.includes("rows in"), text.slice(0, 60));
  await shot(page, "values");
}

// accessibility
await page.evaluate(axe);
for (const scheme of ["light", "dark"]) {
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const bad = violations.filter(one => ["serious", "critical"].includes(one.impact));
  check(`axe has no serious finding, ${scheme}`, bad.length === 0,
    bad.map(one => `${one.id} x ${one.nodes.length} (${one.nodes[0].html.slice(0, 120)})`).join("; ") || `${violations.length} minor`);
}
await page.evaluate(() => scrollTo(0, 0));
await shot(page, "dark");
check("nothing on the console", seen.console.length === 0, seen.console.join("; ") || undefined);
check("no request", seen.requests.length === 0, seen.requests.join(" ") || undefined);
await page.close();

// narrow and wide pages
for (const width of [400, 1280, 1600]) {
  const { page } = await open({ width });
  const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  check(`no horizontal scrolling at ${width} px`, inner <= outer, inner);
  await shot(page, `${width}`);
  await page.close();
}

// without JavaScript
const quiet = await open({ scripts: false });
const text = await quiet.page.$eval("main", e => e.innerText.length);
const visible = await quiet.page.$$eval("figure .art > svg", svgs => svgs.filter(svg => svg.getBoundingClientRect().width > 100).length);
const useless = await quiet.page.$$eval("button, .filters, .search, [data-steps]", all => all.filter(e => e.checkVisibility()).length);
check("readable without JavaScript", text > 2000 && visible === figures.length && useless === 0, `${text} characters, ${visible} figures`);
await quiet.page.close();

await browser.close();
console.log(faults.length === 0 ? `${page_path}: all checks passed` : `${page_path}: ${faults.length} checks failed`);
process.exit(faults.length === 0 ? 0 : 1);
