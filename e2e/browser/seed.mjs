// Posts realistic hits to a logger, the same for the same seed and end:
//   node seed.mjs <server> <api key> <end, ms> [hits] [days]
// Agents are real ones by their share of the market; a tenth of the hits are by robots.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const [server, key, end, hits = 40_000, days = 30] = process.argv.slice(2).map((it, n) => (n < 2 ? it : Number(it)));

// mulberry32, a small generator with a seed.
let state = 20_260_101;
const random = () => {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
};
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const pick = (weighted) => {
  let at = random() * weighted.reduce((sum, [, weight]) => sum + weight, 0);
  return weighted.find(([, weight]) => (at -= weight) < 0)?.[0] ?? weighted[0][0];
};

// The package exports its code alone; its data lies beside it.
const profiles = JSON.parse(readFileSync(new URL("user-agents.json", `file://${require.resolve("user-agents")}`)));
const browsers = profiles.slice(0, 400).map((it) => [it.userAgent, it.weight ?? 1]);
const robots = require("crawler-user-agents").flatMap((it) => it.instances.slice(0, 1)).slice(0, 120).map((it) => [it, 1]);
const programs = [["python-requests/2.32.3", 5], ["okhttp/4.12.0", 4], ["Go-http-client/2.0", 3], ["curl/8.5.0", 2], ["axios/1.7.2", 3]];

// Path, weight, median in ms, and the share of answers that are not 200: [status, share]…
const endpoints = [
  ["GET", "/api/v2/products", 30, 38, [[304, 0.12], [500, 0.004]]],
  ["GET", "/api/v2/products/{id}", 26, 24, [[404, 0.05], [304, 0.1]]],
  ["POST", "/api/v2/cart/items", 14, 61, [[201, 0.9], [422, 0.05], [409, 0.02]]],
  ["GET", "/api/v2/search", 12, 142, [[200, 0], [400, 0.03], [504, 0.008]]],
  ["POST", "/api/v2/orders", 6, 310, [[201, 0.92], [402, 0.03], [500, 0.02], [503, 0.01]]],
  ["GET", "/api/v2/orders/{id}", 8, 45, [[401, 0.04], [404, 0.01]]],
  ["POST", "/api/v1/session", 7, 180, [[401, 0.14], [429, 0.03]]],
  ["GET", "/api/v1/products", 9, 55, [[301, 0.25]]],
  ["PUT", "/api/v2/profile", 4, 72, [[204, 0.8], [422, 0.06]]],
  ["DELETE", "/api/v2/cart/items/{id}", 3, 33, [[204, 0.95], [404, 0.05]]],
  ["GET", "/health", 10, 2, []],
  ["GET", "/wp-login.php", 1.5, 3, [[404, 1]]],
  ["GET", "/.env", 1, 3, [[404, 1]]],
];
const shares = endpoints.map((it) => [it, it[2]]);

// Networks of regional registries, whose countries are theirs for decades.
const networks = [["8.8", 22], ["12.34", 14], ["3.120", 6], ["91.12", 14], ["80.187", 6], ["2.125", 10], ["90.1", 8], ["133.1", 7], ["117.192", 8], ["200.160", 6], ["1.128", 4], ["41.0", 3], ["151.3", 4], ["62.1", 2], ["95.24", 2]];
const people = Array.from({ length: 900 }, () => ({
  ip: `${pick(networks)}.${Math.floor(random() * 250) + 1}.${Math.floor(random() * 250) + 1}`,
  agent: random() < 0.72 ? pick(browsers) : pick(programs),
  user: random() < 0.4 ? `user-${Math.floor(random() * 5_000)}` : null,
  weight: 1 / (1 + random() * 30),
}));
const crowd = people.map((it) => [it, it.weight]);

function moment() {
  // More by day than by night, more on workdays, and slowly growing.
  for (;;) {
    const ago = random() ** 1.15 * days * 86_400_000;
    const at = new Date(end - ago);
    const hour = at.getUTCHours();
    const day = at.getUTCDay();
    const likely = (0.12 + 0.88 * Math.max(0, Math.sin(((hour - 5) / 18) * Math.PI))) * (day % 6 === 0 ? 0.45 : 1);
    if (random() < likely) return at;
  }
}

function hit() {
  const robot = random() < 0.1;
  const who = robot ? { ip: `66.249.${Math.floor(random() * 30) + 64}.${Math.floor(random() * 250) + 1}`, agent: pick(robots), user: null } : pick(crowd);
  const [method, route, , median, odds] = pick(shares);
  const at = moment();
  let status = 200;
  let left = random();
  for (const [code, share] of odds) {
    if ((left -= share) < 0) {
      status = code;
      break;
    }
  }
  // A bad release, two days before the end, for three hours.
  const age = (end - at) / 3_600_000;
  const bad = age > 48 && age < 51 && route.startsWith("/api/v2");
  if (bad && random() < 0.35) status = 503;
  const slow = status >= 500 ? 3 : bad ? 2.2 : 1;
  return {
    hostname: random() < 0.86 ? "api.shop.example" : "eu.shop.example",
    ip_address: who.ip,
    path: route.replace("{id}", String(1_000 + Math.floor(random() ** 3 * 40))),
    user_agent: who.agent,
    method,
    status,
    response_time: Math.max(1, Math.round(median * slow * Math.exp(normal() * 0.55))),
    user_id: who.user,
    referrer: random() < 0.25 ? pick([["https://www.google.com/search", 6], ["https://shop.example/", 9], ["https://news.ycombinator.com/item?id=1", 2], ["https://duckduckgo.com/", 2]]) : null,
    created_at: at.toISOString(),
  };
}

for (let sent = 0; sent < hits; sent += 2_000) {
  const requests = Array.from({ length: Math.min(2_000, hits - sent) }, hit);
  const body = JSON.stringify({ api_key: key, framework: "FastAPI", privacy_level: 0, requests });
  const answer = await fetch(`${server}/api/log-request`, { method: "POST", body });
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
}
