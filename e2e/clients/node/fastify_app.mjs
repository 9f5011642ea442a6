// A Fastify application watched by the published `node-api-analytics` package.
import fastify from "fastify";
import { useFastifyAnalytics } from "node-api-analytics";
import { configured } from "./configuration.mjs";

const app = fastify();
useFastifyAnalytics(app, process.env.API_KEY, configured());

app.get("/ok", async () => ({ status: "ok" }));
app.get("/search", async (request) => ({ q: request.query.q }));
app.get("/slow", async () => {
  await new Promise((resolve) => setTimeout(resolve, 120));
  return { status: "ok" };
});
app.get("/poke/:number", async (request) => request.params);
app.post("/items", async (_request, reply) => reply.code(201).send({ id: 7 }));
app.put("/users/update", async () => ({ status: "ok" }));
app.delete("/items/7", async (_request, reply) => reply.code(204).send());

await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
