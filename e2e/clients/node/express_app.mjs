// An Express application watched by the published `node-api-analytics` package.
import express from "express";
import { expressAnalytics } from "node-api-analytics";
import { configured } from "./configuration.mjs";

const app = express();
app.use(expressAnalytics(process.env.API_KEY, configured()));

app.get("/ok", (_request, response) => response.json({ status: "ok" }));
app.get("/search", (request, response) => response.json({ q: request.query.q }));
app.get("/slow", (_request, response) => {
  setTimeout(() => response.json({ status: "ok" }), 120);
});
app.get("/poke/:number", (request, response) => response.json(request.params));
app.post("/items", (_request, response) => response.status(201).json({ id: 7 }));
app.put("/users/update", (_request, response) => response.json({ status: "ok" }));
app.delete("/items/7", (_request, response) => response.status(204).end());

app.listen(Number(process.env.PORT), "127.0.0.1");
