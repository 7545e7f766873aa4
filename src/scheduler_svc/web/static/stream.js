// Server-sent events with a header, which EventSource can not send: for callers of all namespaces who
// chose one. As EventSource otherwise: it comes back by itself with the last id it saw, until it is
// closed or refused.
const AGAIN_MS = 2000;

export class Stream extends EventTarget {
  #address;
  #headers;
  #last = "";
  #ending = new AbortController();
  readyState = EventSource.CONNECTING;

  constructor(address, headers) {
    super();
    this.#address = address;
    this.#headers = headers;
    this.#run();
  }

  close() {
    this.readyState = EventSource.CLOSED;
    this.#ending.abort();
  }

  async #run() {
    while (this.readyState !== EventSource.CLOSED) {
      try {
        await this.#read();
      } catch {
        // cut off: once more, in a moment
      }
      if (this.readyState !== EventSource.CLOSED) this.readyState = EventSource.CONNECTING;
      this.dispatchEvent(new Event("error"));
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  }

  async #read() {
    const headers = { ...this.#headers, Accept: "text/event-stream" };
    if (this.#last) headers["Last-Event-ID"] = this.#last;
    const answer = await fetch(this.#address, { headers, credentials: "same-origin", signal: this.#ending.signal });
    if (!answer.ok) {
      if (answer.status < 500 && answer.status !== 429) this.readyState = EventSource.CLOSED;
      return;
    }
    this.readyState = EventSource.OPEN;
    this.dispatchEvent(new Event("open"));
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
      const pieces = (rest + value).split("\n\n");
      rest = pieces.pop();
      pieces.forEach((piece) => this.#tell(piece));
    }
  }

  #tell(piece) {
    const fields = Object.fromEntries(
      piece.split("\n").filter((line) => !line.startsWith(":")).map((line) => {
        const [name, ...value] = line.split(": ");
        return [name, value.join(": ")];
      }),
    );
    if (fields.id) this.#last = fields.id;
    if (fields.event) this.dispatchEvent(new MessageEvent(fields.event, { data: fields.data }));
  }
}
