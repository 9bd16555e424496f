/** Files that get their name when all of them is written, and what is left of those that never do. @module */
import { afterAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Sandbox } from "../lib/index.ts";
import { NewFile } from "../syscalls/index.ts";
import { noSandbox, testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());

const SYSCALLS = join(import.meta.dir, "../syscalls/index.ts");
const bytes = (text: string) => new TextEncoder().encode(text);

function written(file: string, text: string, isPublished = true): void {
  using made = new NewFile(file, 0o640);
  made.write(bytes(text));
  if (isPublished) made.publish();
}

/** Writes a part of it, and is killed. */
const KILLED = `
  import { NewFile } from ${JSON.stringify(SYSCALLS)};
  const file = new NewFile(process.argv.at(-1), 0o600);
  file.write(new Uint8Array(1000));
  process.kill(process.pid, "SIGKILL");
`;

test("has its name when it is whole, and what had that name is there until then", () => {
  const place = folder.directory("whole");
  const file = join(place, "file");
  written(file, "never", false);
  expect(readdirSync(place)).toEqual([]);
  written(file, "one");
  expect([readFileSync(file, "utf8"), statSync(file).mode & 0o777]).toEqual(["one", 0o640 & ~process.umask()]);
  {
    using next = new NewFile(file, 0o600);
    next.write(bytes("two"));
    expect([readdirSync(place), readFileSync(file, "utf8")]).toEqual([["file"], "one"]);
    next.publish();
  }
  expect([readdirSync(place), readFileSync(file, "utf8")]).toEqual([["file"], "two"]);
  expect(() => new NewFile(join(place, "none/file"), 0o600)).toThrow(`write "${place}/none/file": ENOENT`);
  expect(() => new NewFile("/proc/file", 0o600)).toThrow('write "/proc/file"');
  written(file, "x".repeat(200_000));
  expect(statSync(file).size).toBe(200_000);
});

test("nothing is left of a writer that was killed, also not where it was about to take a name that another has", () => {
  const place = folder.directory("killed");
  const script = folder.write("killed.ts", KILLED);
  const { signalCode } = Bun.spawnSync([process.execPath, script, join(place, "file")]);
  expect([signalCode, readdirSync(place)]).toEqual(["SIGKILL", []]);
  // what one that was killed there leaves
  writeFileSync(join(place, ".tsbox-new-0"), "left");
  written(join(place, "file"), "one");
  written(join(place, "file"), "two");
  expect([readdirSync(place), readFileSync(join(place, "file"), "utf8")]).toEqual([["file"], "two"]);
});

testUnless(
  noSandbox,
  "where a file needs a name: the next writer takes away what was left, and nothing else",
  async () => {
    const place = folder.directory("named", 0o777);
    const script = folder.write(
      "named.ts",
      `import { NewFile } from ${JSON.stringify(SYSCALLS)};
     import { readdirSync, readFileSync, writeFileSync } from "node:fs";
     const killed = ${JSON.stringify(folder.write("killed.ts", KILLED))};
     const place = ${JSON.stringify(place)};
     const seen = () => console.log(readdirSync(place).toSorted().join(" "));
     for (const at of [0, 1]) Bun.spawnSync([process.execPath, killed, place + "/file"]);
     seen();
     const one = new NewFile(place + "/one", 0o600);
     const two = new NewFile(place + "/two", 0o600);
     seen();
     two.write(new Uint8Array(2));
     two.publish();
     two[Symbol.dispose]();
     one[Symbol.dispose]();
     seen();`,
    );
    const { stdout, stderr } = await Sandbox.run([process.execPath, script], {
      rootfs: "host",
      mounts: [
        { type: "bind", source: join(import.meta.dir, ".."), target: join(import.meta.dir, ".."), readOnly: true },
        { type: "bind", source: folder.path, target: folder.path },
      ],
      security: {
        seccomp: {
          defaultAction: "SCMP_ACT_ALLOW",
          syscalls: [
            {
              names: ["openat"],
              action: "SCMP_ACT_ERRNO",
              errnoRet: 95,
              args: [{ index: 2, value: 0o20000000, valueTwo: 0o20000000, op: "SCMP_CMP_MASKED_EQ" }],
            },
          ],
        },
      },
    });
    expect([stdout, stderr]).toEqual([".tsbox-new-0\n.tsbox-new-0 .tsbox-new-1\ntwo\n", ""]);
  },
);
