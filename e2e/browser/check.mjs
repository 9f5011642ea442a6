// One way of using the dashboard, in a real browser:
//   node check.mjs <scenario> <server> <path of a project's page>
// WATCHKEEPER_CHROMIUM names the browser, WATCHKEEPER_TOKEN the admin token, WATCHKEEPER_KEY the
// project's key, WATCHKEEPER_SHOTS a directory for screenshots. Ends with 1 and says why when
// something is not as it should be.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

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

async function signIn(page) {
  await page.goto("/login?next=/");
  await page.getByLabel("Admin token").fill(WATCHKEEPER_TOKEN);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
}

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

  // Everything is reached by keys alone.
  async keyboard() {
    const page = await open(project);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
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
    const grounds = new Set();
    const wide = [];
    for (const [size, [width, height]] of Object.entries(SIZES)) {
      for (const colorScheme of ["light", "dark"]) {
        const page = await open(project, { viewport: { width, height }, colorScheme });
        grounds.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
        for (const [name, path] of [["dashboard", project], ["live", `${project}/live`], ["settings", `${project}/settings`], ["overview", "/"]]) {
          if (name !== "dashboard") await page.goto(path);
          const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          if (beyond > 0) wide.push(`${name} is ${beyond} pixels wider than the ${size}`);
          if (WATCHKEEPER_SHOTS) await page.screenshot({ path: join(WATCHKEEPER_SHOTS, `${name}-${size}-${colorScheme}.png`) });
        }
        await page.context().close();
      }
    }
    assert.deepEqual(wide, []);
    assert.equal(grounds.size, 2, "light and dark differ");
  },

  // No violation that axe knows, in either scheme.
  async accessibility() {
    const found = [];
    for (const colorScheme of ["light", "dark"]) {
      // The checker's script is ours, the page's policy is not for it.
      const page = await open("/login", { colorScheme, bypassCSP: true });
      const paths = ["/login", "/", project, `${project}?path=/api/*&from=2020-01-01&to=2030-01-01`, `${project}/table/endpoints`, `${project}/table/activity`, `${project}/live`, `${project}/settings`];
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
    const row = (path) => ({ path, method: "GET", status: 200, response_time: 5, hostname: "h", created_at: new Date().toISOString() });
    const body = { api_key: WATCHKEEPER_KEY, framework: "FastAPI", privacy_level: 0, requests: [row("/watched/1"), row("/unwatched"), row("/watched/2")] };
    const answer = await fetch(`${server}/api/log-request`, { method: "POST", body: JSON.stringify(body) });
    assert.equal(answer.status, 201);
    await page.getByRole("link", { name: "/watched/2" }).waitFor();
    assert.equal(await page.getByText("/unwatched").count(), 0);
    assert.match(await page.locator("tbody tr").first().innerText(), /watched\/2/, "the newest is on top");
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("button", { name: "Go on" }).waitFor();
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
