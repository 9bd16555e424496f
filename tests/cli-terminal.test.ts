/** `tsbox run -t` and `-it`, at a real pseudo-terminal. @module */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { noBusybox, SLOW, testUnless } from "./support/machine.ts";
import { adoptOrphans, descendants, eventually, reapOrphans } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const root = makeRootfs();
// or what a shell that has ended leaves behind would not be seen
beforeAll(adoptOrphans);
afterAll(() => root.remove());

const PROGRAM = [process.execPath, join(import.meta.dir, "../lib/cli/main.ts")];
const TSBOX = PROGRAM.map((word) => `'${word}'`).join(" ");
const cliTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, 20_000 * SLOW);

/** Somebody who sits at a terminal where a shell runs this line; `$tsbox` is the command, in the small root. */
function sit(line: string) {
  let text = "";
  const script = `tsbox() { ${TSBOX} run --rootfs ${root.path} "$@"; }; ${line}`;
  const child = Bun.spawn(["bash", "-c", script], {
    terminal: { cols: 111, rows: 33, data: (_, chunk) => void (text += new TextDecoder().decode(chunk)) },
  });
  return {
    child,
    shown: () => text.replaceAll("\r\n", "\n"),
    async after(wanted: string, act: (terminal: NonNullable<typeof child.terminal>) => unknown) {
      expect([await eventually(() => text.includes(wanted), 10_000 * SLOW), text.includes(wanted) || text]).toEqual([
        true,
        true,
      ]);
      if (child.terminal) act(child.terminal);
    },
    type(wanted: string, typed: string) {
      return this.after(wanted, (terminal) => terminal.write(typed));
    },
  };
}
/** What a terminal is like for a shell: lines, echo, ^C. */
const MODE =
  "stty -a | tr ';' '\\n' | tr ' ' '\\n' | grep -xE -- '-?(icanon|echo|isig|opost|icrnl)' | sort | tr '\\n' ' '";
const USUAL = "echo icanon icrnl isig opost";

describe("-it", () => {
  cliTest("the two terminals are one: size, typing, ^C, a new size, and the exit status", async () => {
    const script = "trap 'echo caught' INT; tty; stty size; read x; echo got $x; cat; stty size; exit 3";
    const session = sit(`tsbox -it sh -c "${script.replace("$", "\\$")}"; echo status $?`);
    await session.type("33 111", "some words\n");
    await session.type("got some words", "to cat\n");
    await session.after("to cat\r\nto cat\r\n", (terminal) => terminal.resize(90, 44));
    await Bun.sleep(100 * SLOW); // the signal that tells of it
    await session.type("", "\x03");
    await session.after("caught\r\n44 90", () => {});
    await session.after("status 3", () => {});
    expect(await session.child.exited).toBe(0);
    expect(session.shown()).toContain("/dev/pts/0\n");
  });

  cliTest("is as it was afterwards, whatever happened", async () => {
    const ends: [what: string, line: string][] = [
      ["an exit", "tsbox -it true"],
      ["a signal", "tsbox -it sh -c 'kill -9 $$'"],
      ["a command that is not there", "tsbox -it none-such"],
      ["the time limit", "tsbox --timeout 300ms -it sleep 60"],
      ["an error that tsbox does not expect", "tsbox -it -v /none-such:/x true"],
    ];
    for (const [what, line] of ends) {
      const session = sit(`set -m; ${MODE}; echo; { ${line}; } 2>&1; echo; echo "then: $(${MODE})"; echo over`);
      await session.after("over\r\n", () => {});
      await session.child.exited;
      const shown = session.shown();
      expect([what, shown.includes(`${USUAL} \n`), shown.includes(`then: ${USUAL} `) || shown]).toEqual([
        what,
        true,
        true,
      ]);
    }
  });

  cliTest("is as it was also after a signal to tsbox, which takes along a command that ignores it", async () => {
    for (const signal of ["SIGTERM", "SIGHUP", "SIGINT"] as const) {
      const command = "trap 'echo told' TERM INT; echo up; while :; do sleep 0.05; done";
      using folder = new Folder();
      const pid = `${folder.path}/pid`;
      const started = `echo $$ >${pid}; exec ${TSBOX} run -it --rootfs ${root.path} sh -c "${command}"\n`;
      const session = sit(`sh ${folder.write("start", started)}; echo "then: $(${MODE})"`);
      const [ICANON, ECHO] = [2, 8];
      await session.after("up\r\n", ({ localFlags }) => expect(localFlags & (ICANON | ECHO)).toBe(0));
      const tsbox = Number(readFileSync(pid, "utf8"));
      process.kill(tsbox, signal);
      // one that the command has been told of, and goes on
      if (signal === "SIGINT") await session.after("told\r\n", () => process.kill(tsbox, "SIGHUP"));
      await session.after("then: ", () => {});
      await session.child.exited;
      expect(session.shown()).toContain(`then: ${USUAL} `);
    }
  });

  cliTest("while it lasts it is raw: ^C and ^Z are the command's, not tsbox's", async () => {
    const session = sit("tsbox -it sh -c 'stty raw; echo ready; head -c 3 | od -An -tx1'");
    await session.type("ready", "\x03\x1a\r");
    await session.after("03 1a 0d", () => {});
    expect(await session.child.exited).toBe(0);
  });

  cliTest("when the terminal goes away, so does the sandbox", async () => {
    const session = sit("exec 2>/dev/null; tsbox -it sh -c 'trap \"\" HUP; echo up; sleep 1000'");
    await session.after("up", (terminal) => terminal.close());
    await session.child.exited;
    expect(await eventually(() => (reapOrphans(), descendants().length === 0), 10_000 * SLOW)).toBe(true);
  });

  cliTest("without a terminal is an error, as Docker has it", () => {
    const { exitCode, stderr } = Bun.spawnSync([...PROGRAM, "run", "--rootfs", "host", "-it", "true"], {
      stdin: "pipe",
      stderr: "pipe",
    });
    expect([exitCode, stderr.toString().split("\n")[0]]).toEqual([1, "tsbox: the input device is not a TTY"]);
  });
});

describe("-t", () => {
  cliTest("without -i needs none: what the command shows goes to stdout, all of it", () => {
    const words = ["run", "--rootfs", root.path, "-t", "sh", "-c", "tty; echo $TERM; stty size; seq 1 20000"];
    const { exitCode, stdout } = Bun.spawnSync([...PROGRAM, ...words], { stdin: "ignore", stderr: "inherit" });
    const lines = stdout.toString().split("\r\n");
    expect([exitCode, lines.slice(0, 3), lines.length, lines.at(-2)]).toEqual([
      0,
      ["/dev/pts/0", "xterm", "24 80"],
      20_004,
      "20000",
    ]);
  });

  cliTest("is planned as well", () => {
    const { stdout } = Bun.spawnSync([...PROGRAM, "plan", "run", "--rootfs", "host", "-t", "true"]);
    expect(stdout.toString()).toContain("TIOCSCTTY");
  });
});
