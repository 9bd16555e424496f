/**
 * A server that runs JavaScript and Python of strangers, each in a box of its own, and streams what they print as
 * server-sent events. JavaScript needs nothing installed: the interpreter is the Bun that runs this server.
 *
 *     PORT=3000 bun examples/08-stream.ts
 *     curl -N -d 'for (const n of [3, 2, 1]) { console.log(n); await Bun.sleep(500) }' localhost:3000/javascript
 *     curl -N -d 'print(6 * 7)' localhost:3000/python
 */
import { Sandbox, TsboxError, type Limits } from "../lib/index.ts";

/** Programs come on stdin. */
const LANGUAGES: Record<string, string[]> = { javascript: ["bun", "run", "-"], python: ["python3", "-u", "-"] };

let limits: Limits = { time: "10s", output: "64k", memory: "256mb", cpus: 0.5, pids: 64 };
const possible = await Sandbox.run(["true"], { limits }).catch((error: TsboxError) => error.code);
if (possible === "limit_unavailable") limits = { time: "10s", output: "64k" }; // docs/limits.md has the remedies

function run(command: string[], program: Uint8Array, signal: AbortSignal): ReadableStream<string> {
  // a client that goes away takes the box along
  const box = Sandbox.spawn(command, { stdin: program, stderr: "pipe", limits, signal });
  return new ReadableStream({
    async start(events) {
      const send = (event: string, data: unknown) =>
        events.enqueue(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
      const copy = async (name: "stdout" | "stderr") => {
        const text = new TextDecoder();
        for await (const bytes of box[name] ?? []) send(name, text.decode(bytes, { stream: true }));
      };
      try {
        await Promise.all([copy("stdout"), copy("stderr")]);
        const { exitCode, reason } = await box.result();
        send("end", { exitCode, reason });
      } catch (error) {
        send("error", error instanceof TsboxError ? error.code : "cancelled");
      }
      events.close();
    },
  });
}

const server = Bun.serve({
  port: process.env["PORT"] ?? 3000,
  hostname: "127.0.0.1",
  maxRequestBodySize: 1024 * 1024,
  async fetch(request) {
    const command = LANGUAGES[new URL(request.url).pathname.slice(1)];
    if (!command || request.method !== "POST") return new Response("POST to /javascript or /python", { status: 404 });
    const events = run(command, await request.bytes(), request.signal);
    return new Response(events, { headers: { "content-type": "text/event-stream" } });
  },
});
console.log(`listening on ${server.url.href}`);
