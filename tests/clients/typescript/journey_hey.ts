// The functions that @hey-api/openapi-ts makes of the document: create, list, page, read.
import assert from "node:assert/strict";
import { client } from "./hey/client.gen.js";
import { createJob, getRun, listJobRuns, listJobs, triggerJob } from "./hey/sdk.gen.js";
import type { Run } from "./hey/types.gen.js";

const [, , baseUrl, target] = process.argv;
assert(baseUrl && target);
// Not an assertion to the compiler, which would narrow what it looks at, round and round in loops.
const same = (found: unknown, wanted: unknown): void => assert.deepEqual(found, wanted);
client.setConfig({ baseUrl });

for (const number of [1, 2, 3]) {
  const made = await createJob({
    headers: { "Idempotency-Key": `hey-${number}` },
    body: { name: `hey-${number}`, schedule: { every: "1h" }, target: { url: target } },
    throwOnError: true,
  });
  same(made.data.schedule.every, "1h");
}

const names: string[] = [];
let cursor: string | null = null;
do {
  const page: { items: { name: string | null }[]; next_cursor: string | null } = (
    await listJobs({
      query: { limit: 2, name_prefix: "hey-", sort: "name", ...(cursor === null ? {} : { cursor }) },
      throwOnError: true,
    })
  ).data;
  names.push(...page.items.map((job) => job.name ?? ""));
  cursor = page.next_cursor;
} while (cursor !== null);
same(names, ["hey-1", "hey-2", "hey-3"]);

let run: Run = (await triggerJob({ path: { id: "hey-1" }, throwOnError: true })).data;
while (run.status === "due" || run.status === "running") {
  await new Promise((resolve) => setTimeout(resolve, 50));
  run = (await getRun({ path: { id: run.id }, throwOnError: true })).data;
}
same(run.status, "succeeded");
same(run.attempts[0]?.status_code, 200);
const runs = await listJobRuns({ path: { id: "hey-1" }, throwOnError: true });
same(runs.data.items.map((one) => one.id), [run.id]);

const refused = await createJob({
  body: { name: "hey-1", schedule: { every: "1h" }, target: { url: target } },
});
same(refused.error?.code, "name_taken");
console.log("done");
