// A Koa application watched by the published `node-api-analytics` package.
import Koa from "koa";
import { koaAnalytics } from "node-api-analytics";
import { configured } from "./configuration.mjs";

const app = new Koa();
app.use(koaAnalytics(process.env.API_KEY, configured()));

const routes = {
  "GET /ok": (context) => {
    context.body = { status: "ok" };
  },
  "GET /search": (context) => {
    context.body = { q: context.query.q };
  },
  "GET /slow": async (context) => {
    await new Promise((resolve) => setTimeout(resolve, 120));
    context.body = { status: "ok" };
  },
  "POST /items": (context) => {
    context.status = 201;
    context.body = { id: 7 };
  },
  "PUT /users/update": (context) => {
    context.body = { status: "ok" };
  },
  "DELETE /items/7": (context) => {
    context.status = 204;
  },
};

app.use(async (context) => {
  const handler = routes[`${context.method} ${context.path}`];
  if (handler) {
    await handler(context);
  } else if (context.path.startsWith("/poke/")) {
    context.body = { path: context.path };
  }
});

app.listen(Number(process.env.PORT), "127.0.0.1");
