/**
 * A shell in a box, with a terminal of its own where you sit at one. What it changes goes with it.
 *
 *     bun examples/09-shell.ts
 *     echo 'id; ls /' | bun examples/09-shell.ts
 */
import { Sandbox } from "../lib/index.ts";

await using box = await Sandbox.create({
  hostname: "box",
  mounts: [{ type: "tmpfs", target: "/work", size: "16mb" }],
  limits: { time: "1h" },
});
const { stdin, stdout } = process;

/** What is typed goes in as it is, Ctrl-C included: it is for what runs in the box. */
function onTerminal() {
  const size = { cols: stdout.columns, rows: stdout.rows };
  const shell = box.spawn(["sh"], {
    cwd: "/work",
    terminal: { ...size, data: (_, bytes) => void stdout.write(bytes) },
  });
  stdin.setRawMode(true);
  stdin.on("data", (bytes) => void shell.terminal?.write(bytes));
  stdout.on("resize", () => shell.terminal?.resize(stdout.columns, stdout.rows));
  return shell;
}

const shell = stdin.isTTY
  ? onTerminal()
  : box.spawn(["sh"], { cwd: "/work", stdin: "inherit", stdout: "inherit", stderr: "inherit" });
const { exitCode, reason } = await shell.result();
if (stdin.isTTY) stdin.setRawMode(false);
console.log(`the shell ended: ${reason} ${exitCode}`);
process.exit(exitCode ?? 1);
