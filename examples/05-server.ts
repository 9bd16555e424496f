/**
 * A server that runs programs that strangers send, each in a sandbox of its own without a network.
 *
 *     PORT=3000 bun examples/05-server.ts
 *     curl -d 'echo hello; id' localhost:3000/sh
 *     curl -d 'print(6 * 7)' localhost:3000/python3
 */
import { Sandbox, TsboxError, type Limits } from "../lib/index.ts";

/** Programs come on stdin. */
const LANGUAGES: Record<string, string[]> = { sh: ["sh", "-s"], python3: ["python3", "-"] };

let limits: Limits = { time: "2s", output: "64k", memory: "128mb", cpus: 0.5, pids: 32 };
try {
  await Sandbox.run(["true"], { limits });
} catch (error) {
  if (!(error instanceof TsboxError) || error.code !== "limit_unavailable") throw error;
  console.log(`without limits of memory, CPU and processes: ${error.hint}`);
  limits = { time: "2s", output: "64k" };
}

const server = Bun.serve({
  port: process.env["PORT"] ?? 3000,
  hostname: "127.0.0.1",
  maxRequestBodySize: 1024 * 1024,
  async fetch(request) {
    const command = LANGUAGES[new URL(request.url).pathname.slice(1)];
    if (!command || request.method !== "POST") return new Response("POST to /sh or /python3", { status: 404 });
    try {
      const stdin = new Uint8Array(await request.arrayBuffer());
      const { stdout, stderr, exitCode, reason, usage } = await Sandbox.run(command, { limits, stdin });
      return Response.json({ stdout, stderr, exitCode, reason, ms: Math.round(usage.wallMs) });
    } catch (error) {
      if (!(error instanceof TsboxError)) throw error;
      return Response.json({ code: error.code, error: error.message, hint: error.hint }, { status: 500 });
    }
  },
});
console.log(`listening on ${server.url.href}`);
