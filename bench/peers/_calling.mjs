// What every peer on Node does for a job: one POST of 200 bytes, its instant noted.
import http from "node:http";

const BODY = JSON.stringify({ n: "x".repeat(192) });

export class Calls {
  constructor(url, jobs) {
    this.url = new URL(url);
    this.jobs = jobs;
    this.sent = [];
    this.ended = 0;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 100 });
    this.done = new Promise((resolve) => (this.resolve = resolve));
  }

  call() {
    this.sent.push(Date.now());
    return new Promise((resolve, reject) => {
      const headers = { "Content-Type": "application/json", "Content-Length": BODY.length };
      const asked = http.request(
        this.url,
        { method: "POST", agent: this.agent, headers },
        (answer) => {
          answer.resume();
          answer.on("end", () => {
            if (answer.statusCode !== 200) return reject(new Error(`${answer.statusCode}`));
            this.ended += 1;
            if (this.ended >= this.jobs) this.resolve();
            resolve();
          });
        },
      );
      asked.on("error", reject);
      asked.end(BODY);
    });
  }

  // Wait for the end, and print what there is to tell.
  async told(at) {
    await this.done;
    const ended = Date.now();
    const late = this.sent.map((sent) => sent - at).sort((a, b) => a - b);
    console.log(
      JSON.stringify({
        calls: late.length,
        seconds: (ended - at) / 1000,
        p50_ms: late[Math.floor(late.length / 2)],
        p99_ms: late[Math.floor((late.length * 99) / 100)],
        least_ms: late[0],
      }),
    );
  }
}

// Say that all is scheduled, in time.
export function ready(at) {
  if (Date.now() >= at) throw new Error("scheduling took too long");
  console.log("ready");
}
