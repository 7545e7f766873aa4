// graphile-worker, 24 at a time from a local queue of 500: `with_graphile-worker.mjs DSN URL JOBS`.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Calls, ready } from "./_calling.mjs";

const from = createRequire(`${process.cwd()}/`);
const { Logger, makeWorkerUtils, run } = await import(
  pathToFileURL(from.resolve("graphile-worker")).href
);
const [dsn, url, count] = process.argv.slice(2);
const jobs = Number(count);
const calls = new Calls(url, jobs);
const logger = new Logger(() => () => {});
const tools = await makeWorkerUtils({ connectionString: dsn, logger });
await tools.migrate();
const at = Date.now() + 4000 + jobs * 0.5;
const runAt = new Date(at);
for (let begun = 0; begun < jobs; begun += 1000) {
  const many = Math.min(1000, jobs - begun);
  const specs = Array.from({ length: many }, () => ({ identifier: "call", payload: {}, runAt }));
  await tools.addJobs(specs);
}
await tools.release();
const runner = await run({
  connectionString: dsn,
  logger,
  noHandleSignals: true,
  taskList: { call: () => calls.call() },
  preset: {
    worker: {
      concurrentJobs: 24,
      maxPoolSize: 10,
      pollInterval: 100,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
    },
  },
});
ready(at);
await calls.told(at);
await runner.stop();
process.exit(0);
