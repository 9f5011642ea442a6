// Every panel, tab and filter of a project's page is clicked, and each time the page counts what the
// query interface counts under the filters of its address.
import assert from "node:assert/strict";

// Filters of an address, by the query interface's names.
const DIMENSIONS = {
  hostname: "host", path: "path", route: "route", query: "query", method: "method", status: "status",
  class: "status_class", version: "version", location: "country", userID: "user", ipAddress: "ip",
  client: "client", os: "os", device: "device", referrer: "referrer_host", framework: "framework",
  weekday: "weekday", hour: "hour_of_day",
};

// The sections of the page in their order; those that list values, by their tabs.
const SECTIONS = ["activity", "endpoints", "response-times", "routes", "errors", "locations", "agents", "traffic", "usage", "referrers", "users"];
const LISTS = { endpoints: 5, routes: 0, errors: 0, locations: 0, agents: 3, traffic: 4, referrers: 0, users: 0 };

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

export async function everything({ page, server, project, log }) {
  const met = new Map();

  async function count(address, more = []) {
    const { searchParams } = new URL(address, server);
    const [from, to] = [searchParams.get("from"), searchParams.get("to")];
    const filters = [...searchParams].map(([name, value]) => filter(name, value)).filter((it) => it);
    const question = {
      project: project.split("/").at(-1), metrics: ["hits"], filters: [...filters, ...more],
      date_range: from ? [from, to] : searchParams.get("period") ?? "7d", timezone: searchParams.get("zone") ?? "UTC",
    };
    const answer = await fetch(`${server}/api/v1/query`, { method: "POST", body: JSON.stringify(question) });
    const text = await answer.text();
    assert.equal(answer.status, 200, `${JSON.stringify(question)}: ${text}`);
    return JSON.parse(text).results[0].metrics[0];
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

  for (const [section, tabs] of Object.entries(LISTS)) {
    await start();
    const links = page.locator(`#${section} nav.tabs a`);
    assert.equal(await links.count(), tabs, `tabs of ${section}`);
    await row(section);
    // Whoever comes most often may have no name.
    if (section === "users") await row(section, 'a.key[href*="userID="]');
    for (let tab = 1; tab < tabs; tab += 1) {
      await start();
      await follow(links.nth(tab), `a tab of ${section}`);
      await page.locator(`#${section} nav.tabs a`).nth(tab).and(page.locator("[aria-current]")).waitFor();
      await row(section);
    }
  }
  await start();
  const heads = await page.locator("#routes thead a").count();
  assert.equal(heads, 4);
  for (let head = 1; head < heads; head += 1) await follow(page.locator("#routes thead a").nth(head), "an order of routes");

  // When requests come: each hour and day, which together are all of them.
  for (const [list, length] of [[".hours", 24], [".days", 7]]) {
    let sum = 0;
    for (let index = 0; index < length; index += 1) {
      await start();
      sum += await follow(page.locator(`#usage ${list} a`).nth(index), `${list} ${index}`);
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
