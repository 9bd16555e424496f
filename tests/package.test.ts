/** The package, as it is installed: in whatever folder, and what becomes of it in a bundle of others. @module */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { scripts } from "../package.json" with { type: "json" };
import { noGateway } from "./support/gateway.ts";
import { SLOW, testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

const root = join(import.meta.dirname, "..");
const folder = new Folder();
afterAll(() => folder.remove());

/** Who has a network needs the package's own thread. */
const PROGRAM = `
  import { Sandbox } from "called-otherwise";
  const command = ["sh", "-c", "echo inside"];
  const result = await Sandbox.run(command, { network: { allow: [] } }).catch(({ code, hint }) => ({ code, hint }));
  console.log(JSON.stringify([result.stdout, result.code, result.hint]));
`;

function ran(file: string): unknown {
  const { stdout, stderr } = Bun.spawnSync([process.execPath, file], { cwd: folder.path });
  return [stderr.toString(), JSON.parse(stdout.toString() || "null")];
}

describe("the package", () => {
  beforeAll(() => {
    const installed = folder.directory("node_modules/called-otherwise");
    copyFileSync(join(root, "package.json"), join(installed, "package.json"));
    const [, bundling = ""] = /(esbuild .*) && tsc/.exec(scripts.build) ?? [];
    const command = bundling.replace("--outdir=dist", `--outdir=${installed}/dist`);
    const made = Bun.spawnSync(["sh", "-c", `node_modules/.bin/${command}`], { cwd: root, stderr: "pipe" });
    if (made.exitCode !== 0) throw new Error(made.stderr.toString());
  }, 60_000 * SLOW);

  testUnless(noGateway, "has its threads, in whatever folder it is", () => {
    expect(ran(folder.write("program.ts", PROGRAM))).toEqual(["", ["inside\n", null, null]]);
  });

  testUnless(
    noGateway,
    "says so where it has become a part of another file, which a thread would run as well",
    async () => {
      const entrypoints = [folder.write("program.ts", PROGRAM)];
      const built = await Bun.build({ entrypoints, target: "bun", outdir: join(folder.path, "bundled") });
      expect(built.success).toBe(true);
      expect(ran(join(folder.path, "bundled/program.js"))).toEqual([
        "",
        [null, "unsupported", "leave the package out of the bundle (external)"],
      ]);
    },
  );
});
