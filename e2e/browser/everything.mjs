// Every panel, tab and filter of a project's page is clicked, and each time the page counts what the
// query interface counts under the filters of its address; every number of the tiles and the lists is held
// against it too.
import assert from "node:assert/strict";

// Filters of an address, by the query interface's names.
const DIMENSIONS = {
  hostname: "host", path: "path", route: "route", query: "query", method: "method", status: "status",
  class: "status_class", version: "version", location: "country", userID: "user", ipAddress: "ip",
  client: "client", os: "os", device: "device", referrer: "referrer_host", framework: "framework",
  weekday: "weekday", hour: "hour_of_day",
};

// The sections of the page in their order.
const SECTIONS = ["activity", "endpoints", "response-times", "routes", "errors", "locations", "agents", "traffic", "usage", "referrers", "users"];

// What lists are made of, by section: a list a tab. Metrics are those of its columns, in their order.
const split = (dimension, filters = []) => ({ dimensions: [dimension], metrics: ["hits", "users", "success_rate", "p50"], filters });
const known = (dimension) => split(dimension, [["is_not", dimension, [null]]]);
const endpoints = (...classes) => ({
  dimensions: ["method", "path", "status"], metrics: ["hits", "users", "p50"],
  filters: classes.map((it) => ["is", "status_class", [it]]),
});
const LISTS = {
  endpoints: [endpoints(), endpoints("2xx"), endpoints("3xx"), endpoints("4xx"), endpoints("5xx")],
  routes: [{ dimensions: ["method", "route"], metrics: ["hits", "p50", "p95", "p99"], filters: [[">=", "duration", 0]] }],
  errors: [{ dimensions: ["status", "method", "route"], metrics: ["hits", "share of errors", "users"], filters: [[">=", "status", 400]] }],
  locations: [split("country")],
  agents: [split("client"), split("os"), split("device")],
  traffic: [split("host"), known("version"), split("method"), split("framework")],
  referrers: [known("referrer_host")],
  users: [{ dimensions: ["ip", "user", "country"], metrics: ["hits", "errors"], filters: [] }],
};

// The numbers of the tiles, and those beside the response times; the classes of these, milliseconds.
const TILES = ["hits", "users", "success_rate", "errors", "p50", "p95"];
const FACTS = ["p25", "p50", "p75", "p95", "p99", "duration_mean"];
const EDGES = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

const digits = (text) => Number(text.replaceAll(/\D/g, ""));

// A parameter of an address as a filter of the query interface; none where it filters nothing.
function filter(name, value) {
  if (name === "hide") return ["glob_not", "path", [value]];
  if (name === "bots") return value === "0" ? ["is_not", "bot", [true]] : undefined;
  if (name === "notfound") return value === "0" ? ["is_not", "status", [404]] : undefined;
  const plain = name.replace(/^not-/, "");
  if (!DIMENSIONS[plain]) return undefined;
  if (plain === "weekday" && value === "0") value = "7";
  const operator = value.includes("*") ? "glob" : "is";
  return [plain === name ? operator : `${operator}_not`, DIMENSIONS[plain], [value === "" ? null : value]];
}

// Whether a text is how the page writes a number: a count in full, a share with a digit, a time with three.
function reads(text, number, metric) {
  if (number === null) return text === "–";
  if (["hits", "users", "errors"].includes(metric)) return /^[\d\u202f]+$/.test(text) && digits(text) === number;
  if (["success_rate", "share of errors"].includes(metric)) {
    const percent = number * 100;
    if (text === "<0.1 %") return percent > 0 && percent < 0.1;
    // All but all is not 100.
    if (text === "100 %" || percent >= 99.95) return text === (percent === 100 ? "100 %" : "99.9 %");
    const [, shown] = /^([\d.]+) %$/.exec(text) ?? [];
    return Math.abs(Number(shown) - percent) <= 0.05 + 1e-9;
  }
  const [, shown, unit] = /^([\d.]+) (ms|s|min)$/.exec(text) ?? [];
  const length = { ms: 1, s: 1_000, min: 60_000 }[unit];
  const places = shown < 10 ? 2 : shown < 100 ? 1 : 0;
  return Math.abs(shown * length - number) <= length * (0.5 * 10 ** -places + 1e-9);
}

// The filter that a link adds to an address, or takes away where it is in force.
function toggled(address, link) {
  const [before, after] = [address, link].map((it) => [...new URLSearchParams(new URL(it).search)]);
  const without = (some, others) => some.find((it) => !others.some((other) => other.join("=") === it.join("=")));
  return without(after, before) ?? without(before, after);
}

export async function everything({ page, server, project, log }) {
  const met = new Map();

  // Asks the query interface about the hits of an address.
  async function ask(address, { filters: more = [], ...wanted }) {
    const { searchParams } = new URL(address, server);
    const [from, to] = [searchParams.get("from"), searchParams.get("to")];
    const filters = [...searchParams].map(([name, value]) => filter(name, value)).filter((it) => it);
    const question = {
      project: project.split("/").at(-1), filters: [...filters, ...more], ...wanted,
      date_range: from ? [from, to] : searchParams.get("period") ?? "7d", timezone: searchParams.get("zone") ?? "UTC",
    };
    const answer = await fetch(`${server}/api/v1/query`, { method: "POST", body: JSON.stringify(question) });
    const text = await answer.text();
    assert.equal(answer.status, 200, `${JSON.stringify(question)}: ${text}`);
    return JSON.parse(text).results;
  }

  // The numbers of all hits of an address, by their metrics.
  async function numbers(address, metrics, filters = []) {
    const [row] = await ask(address, { metrics, filters });
    return Object.fromEntries(metrics.map((metric, index) => [metric, row.metrics[index]]));
  }

  const count = async (address, filters) => (await numbers(address, ["hits"], filters)).hits;

  // Every tile, and the response times with each of their classes.
  async function totals() {
    const address = page.url();
    const there = await numbers(address, [...new Set([...TILES, ...FACTS])]);
    const held = (metrics, texts, where) => {
      assert.equal(texts.length, metrics.length, `${where} at ${address}`);
      metrics.forEach((metric, index) => {
        assert.ok(reads(texts[index], there[metric], metric), `${metric} of ${where} is ${texts[index]}, not ${there[metric]}: ${address}`);
      });
    };
    held(TILES, await page.locator(".tile .value").evaluateAll((them) => them.map((it) => it.title)), "the tiles");
    held(FACTS, await page.locator("#response-times .facts dd").allTextContents(), "the response times");
    const classes = await page.locator("#response-times .as-table td:nth-child(2)").allTextContents();
    assert.equal(classes.length, EDGES.length);
    for (const [index, low] of EDGES.entries()) {
      const filters = [[">=", "duration", low]];
      if (index + 1 < EDGES.length) filters.push(["<", "duration", EDGES[index + 1]]);
      assert.equal(digits(classes[index]), await count(address, filters), `answers from ${low} ms on: ${address}`);
    }
  }

  // Every row of a list, with all of its numbers.
  async function rows(section, { dimensions, metrics, filters }) {
    const address = page.url();
    const asked = metrics.filter((it) => it !== "share of errors");
    const there = await ask(address, { metrics: asked, dimensions, filters, pagination: { limit: 10_000 } });
    const name = (values) => JSON.stringify(values.map((it) => (it === null ? null : String(it))));
    const known = new Map(there.map((row) => [name(row.dimensions), Object.fromEntries(asked.map((it, index) => [it, row.metrics[index]]))]));
    const { errors } = await numbers(address, ["errors"]);
    const shown = await page.locator(`#${section} tbody tr`).evaluateAll((them) => them.map((row) => ({
      links: [...row.querySelectorAll("a.key")].map((link) => link.href),
      texts: [...row.querySelectorAll("td.number")].map((cell) => cell.textContent),
    })));
    assert.ok(shown.length > 0, `${section} has rows at ${address}`);
    for (const { links, texts } of shown) {
      const values = Object.fromEntries(links.map((link) => toggled(address, link)).map(([filter, value]) => [DIMENSIONS[filter], value]));
      // What is unknown is empty in an address, or has no link at all.
      const key = name(dimensions.map((it) => values[it] || null));
      const row = known.get(key);
      assert.ok(row, `${key} of ${section} is not known: ${address}`);
      row["share of errors"] = row.hits / errors;
      metrics.forEach((metric, index) => {
        assert.ok(reads(texts[index], row[metric], metric), `${metric} of ${key} in ${section} is ${texts[index]}, not ${row[metric]}: ${address}`);
      });
    }
  }

  // The page at which it is counts what the query interface does.
  async function agrees(what) {
    const address = page.url();
    const shown = async () => digits(await page.locator(".tile .value").first().getAttribute("title"));
    let [there, here] = [await count(address), await shown()];
    // A period that ends now moves on between the two: it is looked at once more.
    for (let tries = 0; there !== here && /period=(24h|all)/.test(address) && tries < 3; tries += 1) {
      await page.goto(address);
      [there, here] = [await count(address), await shown()];
    }
    assert.equal(here, there, `${what}: ${address}`);
    for (const [name, value] of new URL(address).searchParams) if (filter(name, value) || name === "bots") met.set(name, value);
    return here;
  }

  async function follow(link, what) {
    const before = page.url();
    await link.click();
    await page.waitForURL((url) => url.href !== before);
    return agrees(what);
  }

  const start = (query = "") => page.goto(`${project}${query}`);

  // Clicks each value of a list's first row, or the first that has such a value; together they are what the
  // row counts.
  async function row(section, having = "a.key") {
    const address = page.url();
    const first = page.locator(`#${section} tbody tr`).filter({ has: page.locator(having) }).first();
    const keys = await first.locator("a.key").evaluateAll((links) => links.map((link) => link.href));
    assert.ok(keys.length > 0, `${section} has values at ${address}`);
    const number = digits(await first.locator("td.number").first().innerText());
    const had = new Set(new URL(address).search.slice(1).split("&"));
    const added = keys.map((href) => new URL(href).search.slice(1).split("&").find((pair) => !had.has(pair)));
    const filters = added.flatMap((pair) => [...new URLSearchParams(pair)]).map(([name, value]) => filter(name, value));
    // A person's row is one of a user, an address and a country, of which only the known are values.
    if (section !== "users") assert.equal(number, await count(address, filters), `the first row of ${section} at ${address}`);
    for (let index = 0; index < keys.length; index += 1) {
      await page.goto(address);
      await follow(first.locator("a.key").nth(index), `a value of ${section}`);
      await page.locator(`#${section}`).waitFor();
    }
    await page.goto(address);
  }

  // Some hits with a query, which those of the others have not.
  await log(["/queried?term=a", "/queried?term=a", "/queried?term=b"]);

  await start();
  const all = await agrees("all");
  assert.deepEqual(await page.locator("main section[id]").evaluateAll((them) => them.map((it) => it.id)), SECTIONS);

  for (const [section, lists] of Object.entries(LISTS)) {
    await start();
    const links = page.locator(`#${section} nav.tabs a`);
    const tabs = lists.length > 1 ? lists.length : 0;
    assert.equal(await links.count(), tabs, `tabs of ${section}`);
    await rows(section, lists[0]);
    await row(section);
    // Whoever comes most often may have no name.
    if (section === "users") await row(section, 'a.key[href*="userID="]');
    for (let tab = 1; tab < tabs; tab += 1) {
      await start();
      await follow(links.nth(tab), `a tab of ${section}`);
      await page.locator(`#${section} nav.tabs a`).nth(tab).and(page.locator("[aria-current]")).waitFor();
      await rows(section, lists[tab]);
      await row(section);
    }
  }
  await start();
  const heads = await page.locator("#routes thead a").count();
  assert.equal(heads, 4);
  for (let head = 1; head < heads; head += 1) {
    await follow(page.locator("#routes thead a").nth(head), "an order of routes");
    await page.locator("#routes thead a").nth(head).and(page.locator("[aria-current]")).waitFor();
    await rows("routes", LISTS.routes[0]);
  }

  // All numbers again, within filters that are in force in the lists too.
  for (const query of ["", "?period=30d&path=/api/v2/*&not-status=404", "?method=GET&class=2xx&zone=America/New_York"]) {
    await start(query);
    await totals();
    for (const section of ["endpoints", "routes", "locations", "agents", "traffic", "users"]) await rows(section, LISTS[section][0]);
  }

  // When requests come: each hour and day, which together are all of them.
  for (const [list, length] of [[".hours", 24], [".days", 7]]) {
    let sum = 0;
    for (let index = 0; index < length; index += 1) {
      await start();
      const link = page.locator(`#usage ${list} a`).nth(index);
      const told = digits((await link.getAttribute("title")).split(": ").at(-1));
      const hits = await follow(link, `${list} ${index}`);
      assert.equal(told, hits, `${list} ${index}`);
      sum += hits;
    }
    assert.equal(sum, all, `${list} are all hits`);
  }

  // The chart's columns, the first and the last among them; filters stay, whatever their values are.
  const kept = "not-path=%2FFROM%2FTODO&not-location=TO";
  await start(`?${kept}`);
  const columns = await page.locator(".columns li").count();
  for (const column of [0, Math.floor(columns / 2), columns - 1]) {
    await start(`?${kept}`);
    await follow(page.locator(".columns li").nth(column), `column ${column}`);
    const { searchParams } = new URL(page.url());
    assert.deepEqual([searchParams.get("not-path"), searchParams.get("not-location")], ["/FROM/TODO", "TO"]);
    assert.ok(searchParams.get("from") < searchParams.get("to"));
  }

  // Periods, and a range by hand.
  for (let period = 0; period < 6; period += 1) {
    await start("?hour=12");
    const link = page.locator("nav.periods > a").nth(period);
    if ((await link.getAttribute("aria-current")) === null) await follow(link, `period ${period}`);
  }
  const day = (ago) => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10);
  await start("?method=GET");
  await page.locator(".periods summary").click();
  await page.getByLabel("From").fill(day(4));
  await page.getByLabel("To", { exact: true }).fill(day(2));
  await page.getByLabel("Time zone").fill("America/New_York");
  await follow(page.getByRole("button", { name: "Show" }), "a range by hand");

  // What is left out: robots, 404s and paths; and what is told apart.
  for (const name of ["Bots", "404s"]) {
    await start();
    const less = await follow(page.locator("a.toggle", { hasText: name }), name);
    assert.ok(less < all, `${name} can be left out`);
    assert.equal(await follow(page.locator("a.toggle", { hasText: name }), name), all);
  }
  for (const [label, path] of [["Path", "/api/v2/*"], ["Not path", "/health*"]]) {
    await start();
    await page.locator("details.add summary").click();
    await page.getByLabel(label, { exact: true }).fill(path);
    assert.ok((await follow(page.getByRole("button", { name: "Add" }), label)) < all);
  }
  await start("?path=/queried");
  await follow(page.locator("a.toggle", { hasText: "Query strings" }), "query strings");
  await row("endpoints");

  // Every filter was met by a click, but for the class of a status; and each keeps, or leaves out, by its address too.
  const clicked = Object.keys(DIMENSIONS).filter((name) => name !== "class");
  assert.deepEqual(clicked.filter((name) => !met.has(name)), [], "filters without a click");
  assert.ok(met.has("hide"));
  for (const [name, value] of [...clicked.map((it) => [it, met.get(it)]), ["class", "5xx"]]) {
    for (const address of [{ [name]: value }, { [`not-${name}`]: value }, { [name]: value, bots: 0, notfound: 0, period: "30d" }]) {
      await start(`?${new URLSearchParams(address)}`);
      await agrees("an address");
    }
  }
}
