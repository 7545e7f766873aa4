// pg-boss, batches of 500 fetched on while they are full: `with_pg-boss.mjs DSN URL JOBS`.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Calls, ready } from "./_calling.mjs";

const from = createRequire(`${process.cwd()}/`);
const { PgBoss } = await import(pathToFileURL(from.resolve("pg-boss")).href);
const [dsn, url, count] = process.argv.slice(2);
const jobs = Number(count);
const calls = new Calls(url, jobs);
const boss = new PgBoss({ connectionString: dsn, max: 10 });
boss.on("error", (error) => console.error(error));
await boss.start();
await boss.createQueue("call");
const at = Date.now() + 4000 + jobs * 0.5;
const startAfter = new Date(at);
for (let begun = 0; begun < jobs; begun += 1000) {
  const many = Math.min(1000, jobs - begun);
  await boss.insert("call", Array.from({ length: many }, () => ({ data: {}, startAfter })));
}
const work = { batchSize: 500, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true };
await boss.work("call", work, (batch) => Promise.all(batch.map(() => calls.call())));
ready(at);
await calls.told(at);
await boss.stop({ graceful: true, timeout: 10_000 });
process.exit(0);
