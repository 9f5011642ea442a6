// One way of using the dashboard, in a real browser:
//   node check.mjs <scenario> <server> <path of a project's page>
// WATCHKEEPER_CHROMIUM names the browser, WATCHKEEPER_TOKEN the admin token, WATCHKEEPER_KEY the
// project's key, WATCHKEEPER_SHOTS a directory for screenshots. Ends with 1 and says why when
// something is not as it should be.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { HtmlValidate } from "html-validate";
import { chromium } from "playwright-core";
import { everything } from "./everything.mjs";

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const [scenario, server, project] = process.argv.slice(2);
const { WATCHKEEPER_CHROMIUM, WATCHKEEPER_TOKEN, WATCHKEEPER_KEY, WATCHKEEPER_SHOTS } = process.env;
const SIZES = { phone: [390, 844], tablet: [820, 1180], desktop: [1440, 900] };

// Containers give chromium neither a sandbox nor much shared memory.
const browser = await chromium.launch({ executablePath: WATCHKEEPER_CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const complaints = [];

async function open(path, options = {}) {
  const context = await browser.newContext({ baseURL: server, timezoneId: "UTC", viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`script: ${error.message}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(server)) complaints.push(`asked another host: ${request.url()}`);
  });
  await page.goto(path);
  return page;
}

const requests = (page) => page.locator(".tile .value").first().getAttribute("title");
const digits = (text) => Number(text.replaceAll(/\D/g, ""));

// Logs requests for these paths.
async function log(paths, key = WATCHKEEPER_KEY) {
  const row = (path) => ({ path, method: "GET", status: 200, response_time: 5, hostname: "h", created_at: new Date().toISOString() });
  const body = { api_key: key, framework: "FastAPI", privacy_level: 0, requests: paths.map(row) };
  const answer = await fetch(`${server}/api/log-request`, { method: "POST", body: JSON.stringify(body) });
  assert.equal(answer.status, 201);
}

async function signIn(page) {
  await page.goto("/login?next=/");
  await page.getByLabel("Admin token").fill(WATCHKEEPER_TOKEN);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
}

// Every table of a project.
const TABLES = ["endpoints", "routes", "errors", "hosts", "versions", "methods", "frameworks", "locations", "clients", "systems", "devices", "referrers", "users", "hours", "weekdays", "activity"];

// Shares the project by the form; returns the path of the link.
async function share(title, reach, password = "") {
  const page = await open(`${project}/settings`);
  await page.getByLabel("Title", { exact: true }).fill(title);
  await page.getByLabel("Opens by").selectOption(reach);
  if (password) await page.getByLabel(/^Password/).fill(password);
  await page.getByRole("button", { name: "Create the share" }).click();
  const link = await page.getByLabel("Link", { exact: true }).first().inputValue();
  await page.context().close();
  return new URL(link).pathname;
}

// Every page about requests: as the owner, by a share, and where one asks for its password.
async function everyPage() {
  const [shared, locked] = [await share("Everybody", "public"), await share("Some", "password", "correct horse")];
  const tables = TABLES.map((name) => `${project}/table/${name}`);
  return [
    "/login", "/", "/?project=shop&project=nobody&period=30d", project, `${project}?path=/api/*&from=2020-01-01&to=2030-01-01`, ...tables,
    `${project}/requests?path=/api/*`, `${project}/live`, `${project}/settings`, shared, `${shared}/table/routes`, `${shared}/requests`, locked,
  ];
}

// What the standard says against the pages, as the administrator gets them.
async function invalid(paths) {
  const validator = new HtmlValidate({ extends: ["html-validate:standard"] });
  const judged = async (text) => (await validator.validateString(text)).results.flatMap((it) => it.messages);
  assert.notDeepEqual(await judged("<p><div></div></p><ul><p>x</p></ul>"), [], "the validator sees what is wrong");
  const found = [];
  for (const path of paths) {
    const answer = await fetch(server + path, { headers: { accept: "text/html", authorization: `Bearer ${WATCHKEEPER_TOKEN}` } });
    // A share that asks for its password does so by a 401.
    assert.ok([200, 401].includes(answer.status), `${path}: ${answer.status}`);
    for (const { line, ruleId, message } of await judged(await answer.text())) found.push(`${path}:${line}: ${ruleId}: ${message}`);
  }
  return found;
}

// Every page of a list in three sizes, light and dark: nothing is wider than the window.
async function look(pages, { signedIn = false } = {}) {
  const grounds = new Set();
  const wide = [];
  for (const [size, [width, height]] of Object.entries(SIZES)) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open("/login", { viewport: { width, height }, colorScheme });
      if (signedIn) await signIn(page);
      for (const [name, path] of Object.entries(pages)) {
        await page.goto(path);
        grounds.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
        const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (beyond > 0) wide.push(`${name} is ${beyond} pixels wider than the ${size}`);
        if (WATCHKEEPER_SHOTS) await page.screenshot({ path: join(WATCHKEEPER_SHOTS, `${name}-${size}-${colorScheme}.png`) });
      }
      await page.context().close();
    }
  }
  assert.deepEqual(wide, []);
  assert.equal(grounds.size, 2, "light and dark differ");
}

// No violation that axe knows, in either scheme.
async function judge(paths, { signedIn = false } = {}) {
  const found = [];
  for (const colorScheme of ["light", "dark"]) {
    // The checker's script is ours, the page's policy is not for it.
    const page = await open("/login", { colorScheme, bypassCSP: true });
    if (signedIn) await signIn(page);
    for (const path of paths) {
      await page.goto(path);
      await page.addScriptTag({ path: axe });
      const { violations } = await page.evaluate(() => window.axe.run());
      for (const { id, nodes } of violations) {
        const told = nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`);
        found.push(`${path} in ${colorScheme}: ${id}: ${told.join("; ")}`);
      }
    }
    await page.context().close();
  }
  assert.deepEqual(found, []);
}

// Pages about what is watched; the first endpoint has an outage.
const WATCH = {
  monitors: "/monitors",
  "monitors-down": "/monitors?state=Down&q=search",
  notices: "/notices",
  "notices-dead": "/notices?state=dead&channel=ops",
  monitor: "/monitors/1?period=90d",
  "status-pages": "/status-pages",
  "status-page-edit": "/status-pages/shop",
  "incident-edit": "/status-pages/shop/incidents/1",
  status: "/status/shop",
  "status-history": "/status/shop/history",
  "status-incident": "/status/shop/incidents/1",
};

const scenarios = {
  // A value filters by a click, without leaving the page; back undoes it.
  async click() {
    const page = await open(project);
    await page.evaluate(() => { window.stayed = true; });
    const all = digits(await requests(page));
    const row = page.locator("#locations tbody tr").first();
    const wanted = digits(await row.locator("td").first().innerText());
    await row.getByRole("link").click();
    await page.waitForURL(/location=/);
    await page.locator(".chip").waitFor();
    assert.equal(digits(await requests(page)), wanted, "the total is that of the row");
    assert.ok(await page.evaluate(() => window.stayed), "the page was exchanged, not loaded");
    await page.locator("#endpoints").getByRole("link", { name: "Server" }).click();
    await page.waitForURL(/endpoints=server/);
    await page.locator("#endpoints .status").first().waitFor();
    for (const text of await page.locator("#endpoints .status").allInnerTexts()) assert.match(text, /^5/);
    await page.locator("a.chip").click();
    await page.waitForURL((url) => !url.search.includes("location"));
    await page.locator(".chip").waitFor({ state: "detached" });
    assert.equal(digits(await requests(page)), all);
    await page.goBack();
    await page.locator(".chip").waitFor();
    assert.equal(digits(await requests(page)), wanted);
    // A column of the chart opens as a range.
    await page.goto(project);
    await page.locator(".columns li").nth(90).click();
    await page.waitForURL(/from=.*to=/);
    assert.ok(digits(await requests(page)) < all);
    await page.locator(".columns li").nth(5).hover();
    await page.locator(".tip").waitFor();
  },

  // Every panel, tab and filter, against the query interface.
  async everything() {
    await everything({ page: await open(project), server, project, log });
  },

  // Everything is reached by keys alone.
  async keyboard() {
    const page = await open(project);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement.id === "main");
    const focused = () => page.evaluate(() => document.activeElement.textContent.trim());
    for (let presses = 0; (await focused()) !== "Filter"; presses += 1) {
      assert.ok(presses < 40, "the filter menu is reached");
      await page.keyboard.press("Tab");
    }
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", "the focus is seen");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("details.pop[open]").count(), 0);
    assert.equal(await focused(), "Filter");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    await page.keyboard.type("/api/v2/*");
    await page.keyboard.press("Enter");
    await page.waitForURL(/path=%2Fapi%2Fv2%2F/);
    assert.match(await page.locator(".chip").innerText(), /\/api\/v2\/\*/);
    const reached = new Set();
    for (let presses = 0; presses < 60; presses += 1) {
      await page.keyboard.press("Tab");
      reached.add(await page.evaluate(() => document.activeElement.closest("section[id]")?.id));
    }
    assert.ok(reached.has("endpoints"), "values are reached");
    const bots = page.getByRole("button", { name: "Bots", exact: true });
    const pressed = (await bots.getAttribute("aria-pressed")) === "true";
    await bots.focus();
    await page.keyboard.press("Space");
    await page.locator(`.toggle[aria-pressed="${!pressed}"]`, { hasText: "Bots" }).waitFor();
  },

  // The pages are whole without a script.
  async scriptless() {
    const page = await open(project, { javaScriptEnabled: false });
    const all = digits(await requests(page));
    assert.ok(all > 1_000 && (await page.locator(".plot svg path").count()) > 5);
    await page.locator("#agents tbody a").first().click();
    await page.waitForURL(/client=/);
    assert.ok(digits(await requests(page)) < all);
    await page.locator(".periods summary").click();
    await page.getByLabel("From").fill("2020-01-01");
    await page.getByLabel("Time zone").fill("Europe/Berlin");
    await page.getByRole("button", { name: "Show" }).click();
    await page.waitForURL(/from=2020-01-01.*zone=Europe%2FBerlin/);
    assert.match(page.url(), /client=/, "the form keeps the filters");
    await page.goto(`${project}/live`);
    assert.equal(await page.locator("noscript meta[http-equiv=refresh], meta[http-equiv=refresh]").count(), 1);
    assert.ok((await page.locator("tbody tr").count()) > 10);
  },

  // Light and dark, and nothing wider than the window.
  async looks() {
    await look({ dashboard: project, requests: `${project}/requests`, live: `${project}/live`, settings: `${project}/settings`, overview: "/" });
  },

  async accessibility() {
    await judge(await everyPage());
    // A share that asks for its password does so by a 401.
    complaints.splice(0, complaints.length, ...complaints.filter((it) => !it.includes("401")));
  },

  async valid() {
    assert.deepEqual(await invalid(await everyPage()), []);
  },

  async watchLooks() {
    await look(WATCH);
    await look(WATCH, { signedIn: true });
  },

  async watchAccessibility() {
    await judge(Object.values(WATCH));
    await judge(Object.values(WATCH), { signedIn: true });
  },

  // The pages are HTML as the standard has it.
  async watchValid() {
    assert.deepEqual(await invalid([...Object.values(WATCH), "/login", "/"]), []);
  },

  // The status page of many endpoints, each with its bars.
  async manyValid() {
    const text = await (await fetch(`${server}/status/many`)).text();
    assert.equal(text.match(/<svg class="bars"/g)?.length, 500);
    assert.deepEqual(await invalid(["/status/many", "/status/many/history"]), []);
  },

  // States filter by a click and the search by its form; the address has it all, with and without a script.
  async monitors() {
    for (const javaScriptEnabled of [true, false]) {
      const page = await open("/monitors", { javaScriptEnabled });
      const all = await page.locator(".monitors li").count();
      assert.ok(all > 5);
      await page.getByRole("navigation", { name: "States" }).getByRole("link", { name: /Down/ }).click();
      await page.waitForURL(/state=Down/);
      await page.locator(".state-tile[aria-current]", { hasText: "Down" }).waitFor();
      assert.equal(await page.locator(".monitors li").count(), 1);
      await page.getByRole("navigation", { name: "States" }).getByRole("link", { name: /All/ }).click();
      await page.waitForURL((url) => !url.search);
      await page.locator("input[name=q]").fill("mail");
      await page.locator("select[name=group]").selectOption("");
      await page.getByRole("button", { name: "Show" }).click();
      await page.waitForURL(/q=mail/);
      await page.getByRole("link", { name: "Mail relay" }).click();
      await page.getByRole("heading", { name: "Mail relay" }).waitFor();
      await page.getByRole("link", { name: "90 days" }).click();
      await page.waitForURL(/period=90d/);
      await page.locator(".periods [aria-current]", { hasText: "90 days" }).waitFor();
      assert.ok((await page.locator("#timeline svg rect").count()) > 0);
      await page.context().close();
    }
  },

  // Dead letters are tried again, one and all, without a script; the channel works by now.
  async notices() {
    const page = await open("/login", { javaScriptEnabled: false });
    await signIn(page);
    await page.getByRole("link", { name: "Monitors", exact: true }).click();
    await page.getByRole("link", { name: "Notices", exact: true }).click();
    await page.getByRole("link", { name: /^Dead letters/ }).click();
    await page.waitForURL(/state=dead/);
    const letters = page.locator("tbody tr");
    assert.equal(await letters.count(), 3);
    for (const text of await letters.allInnerTexts()) assert.match(text, /Test[\s\S]*ops[\s\S]*dead[\s\S]*404/);
    await letters.first().getByRole("button", { name: /^Try again/ }).click();
    await letters.nth(2).waitFor({ state: "detached" });
    await letters.nth(1).waitFor();
    assert.match(page.url(), /\/notices\?state=dead$/);
    await page.getByRole("combobox", { name: "Channel" }).selectOption("ops");
    await page.getByRole("button", { name: "Show" }).click();
    await page.waitForURL(/channel=ops/);
    assert.match(page.url(), /state=dead/, "the form keeps the state");
    await page.getByRole("button", { name: "Try all dead letters to ops again" }).click();
    await page.getByText("No notice is like that.").waitFor();
    // They arrive, each once more.
    for (let tries = 0; ; tries += 1) {
      await page.goto("/notices?state=sent&channel=ops");
      if ((await letters.count()) === 3) break;
      assert.ok(tries < 100, "all of them are sent");
      await page.waitForTimeout(200);
    }
  },

  // What is watched is drawn anew by itself: also after a click on it, not under somebody's hands, and
  // again once the server is back.
  async renews() {
    const page = await open("/login");
    await page.clock.install();
    await page.goto("/monitors");
    const mark = () => page.evaluate(() => { document.getElementById("main").dataset.old = ""; });
    const later = () => page.clock.runFor(31_000);
    const anew = () => page.locator("main:not([data-old])").waitFor();
    await page.getByRole("heading", { name: "Monitors", exact: true }).click();
    await mark();
    await later();
    await anew();
    await page.locator(".state-tile").first().focus();
    await mark();
    await later();
    await anew();
    assert.ok(await page.evaluate(() => document.activeElement.matches(".state-tile")), "the focus stays");
    await page.locator("input[name=q]").focus();
    await mark();
    await later();
    assert.equal(await page.locator("main[data-old]").count(), 1, "somebody is writing");
    await page.locator("input[name=q]").blur();
    const button = page.getByRole("button", { name: "Show", exact: true });
    await button.focus();
    await later();
    assert.equal(await page.locator("main[data-old]").count(), 1, "somebody is at a button");
    await button.blur();
    await page.route(/\/monitors$/, (route) => route.fulfill({ status: 503, body: "" }));
    await later();
    await page.locator("[data-stale]", { hasText: "The server does not answer" }).waitFor();
    assert.ok((await page.locator(".monitors li").count()) > 5, "what was known stays");
    await page.unroute(/\/monitors$/);
    await later();
    await anew();
    assert.equal(await page.locator("[data-stale]").count(), 0);
    // What is gone meanwhile is not shown on, also behind the address of a place within the page.
    await page.goto("/monitors#main");
    await page.route(/\/monitors(#main)?$/, (route) => route.fulfill({ status: 404, contentType: "text/html", body: "<p>gone" }));
    await later();
    await page.getByText("gone").waitFor();
    complaints.splice(0, complaints.length, ...complaints.filter((it) => !/503|404/.test(it)));
  },

  // An incident from its beginning to its end, by forms alone and without a script, as readers see it.
  async incident() {
    const page = await open("/login", { javaScriptEnabled: false });
    await signIn(page);
    await page.getByRole("link", { name: "Status pages" }).click();
    await page.getByLabel("Title", { exact: true }).fill("Partners");
    // With no endpoints, what is posted is all that its banner can tell.
    await page.getByLabel(/Begin with every group/).uncheck();
    await page.getByRole("button", { name: "Make the page" }).click();
    await page.waitForURL(/status-pages\/partners/);
    await page.getByLabel("Title", { exact: true }).first().fill("Feeds are late");
    await page.getByLabel("What to tell").first().fill("Feeds come an hour late.");
    await page.getByRole("button", { name: "Post", exact: true }).click();
    await page.waitForURL(/incidents\/\d+/);
    const reader = await open("/status/partners", { javaScriptEnabled: false });
    assert.match(await reader.locator(".banner").innerText(), /Partial outage/);
    assert.match(await reader.locator(".post").innerText(), /Feeds come an hour late\./);
    await page.locator("select[name=status]").selectOption("resolved");
    await page.getByLabel("What to tell").fill("They are on time again.");
    await page.getByRole("button", { name: "Tell" }).click();
    await page.getByText("They are on time again.").waitFor();
    await reader.reload();
    assert.doesNotMatch(await reader.locator(".banner").innerText(), /Partial outage|Major/);
    await reader.getByRole("link", { name: "Earlier incidents" }).click();
    await reader.getByText("They are on time again.").waitFor();
    assert.equal(await reader.locator("script").count(), 0);
  },

  // Projects are chosen by hand and stand beside each other in any period, with the query interface's numbers,
  // with and without a script; what is being chosen is not taken away.
  async beside() {
    const key = await (await fetch(`${server}/api/generate`)).json();
    const headers = { authorization: `Bearer ${WATCHKEEPER_TOKEN}`, "content-type": "application/json" };
    const named = await fetch(`${server}/api/v1/projects/mail`, { method: "PUT", headers, body: JSON.stringify({ key }) });
    assert.ok(named.ok, `${named.status}`);
    await log(["/inbox", "/inbox", "/outbox"], key);
    const count = async (name, more) => {
      const question = { project: name, metrics: ["hits"], ...more };
      const answer = await fetch(`${server}/api/v1/query`, { method: "POST", headers, body: JSON.stringify(question) });
      return (await answer.json()).results[0].metrics[0];
    };
    for (const javaScriptEnabled of [true, false]) {
      const page = await open("/", { javaScriptEnabled });
      for (const name of ["mail", "shop"]) await page.getByRole("checkbox", { name: `Choose ${name}` }).check();
      await page.getByRole("button", { name: "Show the chosen beside each other" }).click();
      await page.waitForURL(/project=mail&project=shop/);
      const hits = (row) => row.locator("td.number").first().innerText().then(digits);
      const row = (name) => page.locator("#projects tbody tr").filter({ has: page.getByRole("link", { name, exact: true }) });
      const agrees = async (more, what) => {
        const there = [await count("mail", more), await count("shop", more)];
        const here = [await hits(row("mail")), await hits(row("shop")), await hits(page.locator("#projects tfoot tr"))];
        assert.deepEqual(here, [...there, there[0] + there[1]], what);
      };
      await page.getByRole("link", { name: "7 days" }).click();
      await page.waitForURL(/project=mail&project=shop&period=7d/);
      await page.locator("nav.periods [aria-current]", { hasText: "7 days" }).waitFor();
      await agrees({ date_range: "7d" }, "seven days");
      assert.match(await row("shop").getByRole("link").getAttribute("href"), /\/p\/shop\?period=7d/);
      await page.locator(".periods summary").click();
      await page.getByLabel("From").fill("2020-01-01");
      await page.getByLabel("Time zone").fill("Asia/Tokyo");
      await page.locator(".range").getByRole("button", { name: "Show" }).click();
      await page.waitForURL(/project=mail&project=shop&.*from=2020-01-01/);
      const to = new URL(page.url()).searchParams.get("to");
      await agrees({ date_range: ["2020-01-01", to], timezone: "Asia/Tokyo" }, "a range by hand");
      await page.getByRole("checkbox", { name: "Choose mail" }).uncheck();
      await page.getByRole("button", { name: "Show these" }).click();
      await page.waitForURL((url) => !url.search.includes("project=mail") && url.search.includes("project=shop"));
      assert.equal(await page.locator("#projects tbody tr").count(), 1);
      await page.getByRole("link", { name: "All projects" }).click();
      await page.waitForURL((url) => !url.search.includes("project="));
      await page.getByRole("checkbox", { name: "Choose mail" }).waitFor();
      await page.context().close();
    }
    const page = await open("/login");
    await page.clock.install();
    await page.goto("/");
    await page.getByRole("checkbox", { name: "Choose mail" }).check();
    await page.getByRole("checkbox", { name: "Choose mail" }).blur();
    await page.evaluate(() => { document.getElementById("main").dataset.old = ""; });
    await page.clock.runFor(31_000);
    assert.equal(await page.locator("main[data-old]").count(), 1, "somebody is choosing");
    assert.ok(await page.getByRole("checkbox", { name: "Choose mail" }).isChecked());
  },

  // The browser's zone is offered and, once chosen, stands in the URL.
  async zone() {
    const page = await open(project, { timezoneId: "America/New_York" });
    await page.getByRole("link", { name: "Show in America/New_York" }).click();
    await page.waitForURL(/zone=America%2FNew_York/);
    await page.locator(".zone", { hasText: "America/New_York" }).waitFor();
  },

  // Requests come in while one watches, and filters hold.
  async live() {
    const page = await open(`${project}/live?path=/watched/*`);
    await page.getByText("Watching").waitFor();
    await log(["/watched/1", "/unwatched", "/watched/2"]);
    await page.getByRole("link", { name: "/watched/2" }).waitFor();
    assert.equal(await page.getByText("/unwatched").count(), 0);
    assert.match(await page.locator("tbody tr").first().innerText(), /watched\/2/, "the newest is on top");
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("button", { name: "Go on" }).waitFor();
    // An answer that is no stream does not end the watch.
    const other = await open("/login");
    let full = true;
    await other.route(/\/live\/events/, (route) => (full ? route.fulfill({ status: 503, body: "" }) : route.continue()));
    await other.goto(`${project}/live`);
    await other.getByText("Connecting again").waitFor();
    full = false;
    await other.getByText("Watching").waitFor();
    complaints.splice(0, complaints.length, ...complaints.filter((it) => !it.includes("503")));
  },

  // The administrator signs in, shares, annotates, and signs out.
  async owner() {
    const page = await open("/login");
    await signIn(page);
    await page.getByRole("link", { name: "shop", exact: true }).click();
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByLabel("Title", { exact: true }).fill("Only v2");
    await page.getByLabel("Limited to").fill("path=/api/v2/*");
    await page.getByRole("button", { name: "Create the share" }).click();
    const link = await page.getByLabel("Link", { exact: true }).first().inputValue();
    assert.ok(link.startsWith(`${server}/s/`), link);
    await page.getByLabel("What", { exact: true }).fill("Deployed v1.4");
    await page.getByRole("button", { name: "Annotate" }).click();
    await page.getByText("Deployed v1.4").first().waitFor();
    const guest = await open(link);
    assert.match(await guest.locator(".chip.locked").innerText(), /\/api\/v2\/\*/);
    assert.equal(await guest.locator(".marks li", { hasText: "Deployed v1.4" }).count(), 1);
    assert.equal(await guest.locator("#users").count(), 0);
    await page.getByText("New share").waitFor();
    await page.getByRole("button", { name: "Revoke" }).click();
    await page.locator("#shares").waitFor();
    assert.equal((await guest.goto(link)).status(), 404);
    complaints.splice(0, complaints.length, ...complaints.filter((it) => !it.includes("404")));
    await page.goto("/");
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
  },

  // The pictures of the documentation.
  async pictures() {
    const shot = async (name, path, options) => {
      const page = await open(path, options);
      await page.screenshot({ path: join(WATCHKEEPER_SHOTS, `${name}.png`) });
      await page.context().close();
    };
    await shot("dashboard", project, { viewport: { width: 1280, height: 1180 } });
    await shot("dashboard-dark", project, { viewport: { width: 1280, height: 860 }, colorScheme: "dark" });
    await shot("dashboard-phone", project, { viewport: { width: 390, height: 844 } });
    await shot("overview", "/", { viewport: { width: 1280, height: 620 } });
  },

  async watchPictures() {
    for (const [name, path, viewport, colorScheme] of [
      ["monitors", "/monitors", [1280, 860]],
      ["monitor", "/monitors/1?period=30d", [1280, 900]],
      ["status-page", "/status/shop", [1100, 1000]],
      ["status-page-phone", "/status/shop", [390, 844], "dark"],
    ]) {
      const page = await open(path, { viewport: { width: viewport[0], height: viewport[1] }, colorScheme });
      await page.screenshot({ path: join(WATCHKEEPER_SHOTS, `${name}.png`) });
      await page.context().close();
    }
  },
};

try {
  await scenarios[scenario]();
  assert.deepEqual(complaints, []);
} catch (error) {
  console.error(`${scenario}: ${error.stack ?? error}`, complaints);
  process.exitCode = 1;
} finally {
  await browser.close();
}
