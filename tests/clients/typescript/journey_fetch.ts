// What openapi-typescript makes of the document, used with openapi-fetch: create, list, page, read.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Run = components["schemas"]["Run"];

const [, , baseUrl, target] = process.argv;
assert(baseUrl && target);
// Not an assertion to the compiler, which would narrow what it looks at, round and round in loops.
const same = (found: unknown, wanted: unknown): void => assert.deepEqual(found, wanted);
const client = createClient<paths>({ baseUrl });

for (const number of [1, 2, 3]) {
  const made = await client.POST("/jobs", {
    params: { header: { "Idempotency-Key": `fetch-${number}` } },
    body: { name: `fetch-${number}`, schedule: { every: "1h" }, target: { url: target } },
  });
  if (made.error) throw new Error(made.error.detail);
  same(made.data.schedule.every, "1h");
  const state: components["schemas"]["JobState"] = made.data.state;
  same(state, "active");
}

const names: string[] = [];
let cursor: string | null = null;
do {
  const query: { limit: number; name_prefix: string; sort: "name"; cursor?: string } =
    { limit: 2, name_prefix: "fetch-", sort: "name", ...(cursor === null ? {} : { cursor }) };
  const page = await client.GET("/jobs", { params: { query } });
  if (page.error) throw new Error(page.error.detail);
  names.push(...page.data.items.map((job) => job.name ?? job.id ?? ""));
  cursor = page.data.next_cursor;
} while (cursor !== null);
same(names, ["fetch-1", "fetch-2", "fetch-3"]);

const triggered = await client.POST("/jobs/{id}/trigger", { params: { path: { id: "fetch-1" } } });
if (triggered.error) throw new Error(triggered.error.detail);
let run: Run = triggered.data;
while (run.status === "due" || run.status === "running") {
  await new Promise((resolve) => setTimeout(resolve, 50));
  const read = await client.GET("/runs/{id}", { params: { path: { id: run.id } } });
  if (read.error) throw new Error(read.error.detail);
  run = read.data;
}
same(run.status, "succeeded");
same(run.attempts[0]?.status_code, 200);
const runs = await client.GET("/jobs/{id}/runs", { params: { path: { id: "fetch-1" } } });
same(runs.data?.items.map((one) => one.id), [run.id]);

const refused = await client.POST("/jobs", {
  body: { name: "fetch-1", schedule: { every: "1h" }, target: { url: target } },
});
same(refused.error?.code, "name_taken");
same(refused.response.status, 409);
console.log("done");
