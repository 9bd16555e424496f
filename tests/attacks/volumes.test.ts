/** Attacks by what is in volumes and images, and by who shares a volume with others. @module */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommandLine } from "../support/command-line.ts";
import { makeImage } from "../support/images.ts";
import { asRoot, noBusybox, SLOW, testUnless } from "../support/machine.ts";

const TIMEOUT_MS = 60_000 * SLOW;

let made: CommandLine;
beforeAll(async () => void (made = await CommandLine.open()));
afterAll(() => made?.[Symbol.asyncDispose](), TIMEOUT_MS);

const { tsbox, said } = {
  tsbox: (...words: string[]) => made.tsbox(...words),
  said: (...words: string[]) => made.said(...words),
};
const boxTest = (name: string, body: () => void | Promise<void>) => testUnless(noBusybox, name, body, TIMEOUT_MS);
const pathOf = (name: string, ...more: string[]) => join(made.root, "volumes", name, "_data", ...more);

/** What only the host has. */
function secret(): string {
  const directory = made.folder.directory("secret");
  writeFileSync(join(directory, "file"), "of the host\n");
  return directory;
}

describe("a directory in a volume", () => {
  boxTest("is never one outside, while a container goes on replacing it by a symlink there", () => {
    const outside = secret();
    said("volume", "create", "swapped");
    mkdirSync(pathOf("swapped", "dir"));
    writeFileSync(pathOf("swapped", "dir", "file"), "of the volume\n");
    if (asRoot) Bun.spawnSync(["chmod", "-R", "a+rwX", pathOf("swapped")]);
    const up = `${"../".repeat(20)}${outside}`;
    const script = `cd /v; ln -s ${outside} out; ln -s ${up} up; while :; do mv dir aside; mv out dir; mv dir out; mv up dir; mv dir up; mv aside dir; done`;
    said("run", "-d", "--name", "swapper", "-v", "swapped:/v", "busy", "sh", "-c", script);
    const seen = new Set<string>();
    for (let attempt = 0; attempt < 12; attempt++) {
      const mount = "type=volume,src=swapped,dst=/in,volume-subpath=dir";
      const { status, stdout } = tsbox(
        "run",
        "--rm",
        "--name",
        `r${attempt}`,
        "--mount",
        mount,
        "busy",
        "cat",
        "/in/file",
      );
      seen.add(status === 0 ? stdout : "refused");
    }
    said("rm", "-f", "swapper");
    seen.delete("refused");
    expect([...seen].filter((text) => text !== "of the volume\n")).toEqual([]);
  });
});

describe("an image", () => {
  boxTest("gives a volume nothing of the host, whatever its symlinks say", async () => {
    const outside = secret();
    await makeImage(made.root, "docker.io/library/evil:latest", [
      (layer) => {
        symlinkSync(outside, join(layer, "out"));
        symlinkSync("/proc/1/root", join(layer, "proc-root"));
        mkdirSync(join(layer, "deep"));
        symlinkSync(`${"../".repeat(30)}${outside}`, join(layer, "deep/up"));
      },
    ]);
    const paths = ["/out", "/deep/up", `/proc-root${outside}`];
    paths.forEach((path, at) => said("create", "--name", `evil${at}`, "-v", `filled${at}:${path}`, "evil", "true"));
    expect(paths.map((_, at) => readdirSync(pathOf(`filled${at}`)))).toEqual([[], [], []]);
  });

  boxTest("that is mounted shows nothing of the host either", async () => {
    const outside = secret();
    await makeImage(made.root, "docker.io/library/links:latest", [
      (layer) => {
        symlinkSync(outside, join(layer, "out"));
        symlinkSync("../../../../../../../../etc", join(layer, "up"));
      },
    ]);
    const run = (subpath: string, command: string) =>
      tsbox(
        "run",
        "--rm",
        "--name",
        "linked",
        "--mount",
        `type=image,src=links,dst=/i${subpath}`,
        "busy",
        "sh",
        "-c",
        command,
      );
    expect(run("", "cat /i/out/file").status).toBe(1);
    expect(run(",image-subpath=out", "true").stderr).toContain('open "out" of the image');
    expect(run(",image-subpath=up", "true").stderr).toContain('open "up" of the image');
  });
});

describe("a volume with hostile files", () => {
  boxTest("is removed, and nothing else", () => {
    const outside = secret();
    const script = `cd /v; ln -s ${outside} a; ln -s / b; mkdir c; chmod 0 c; mkfifo p 2>/dev/null; i=0; d=.; while [ $i -lt 90 ]; do d=$d/d; i=$((i+1)); done; mkdir -p $d`;
    said("run", "--name", "filler", "-v", "hostile:/v", "busy", "sh", "-c", script);
    said("rm", "filler");
    expect(said("volume", "rm", "hostile")).toBe("hostile");
    expect(existsSync(join(made.root, "volumes/hostile"))).toBe(false);
    expect(readFileSync(join(outside, "file"), "utf8")).toBe("of the host\n");
  });

  boxTest("gives nothing outside another owner or mode by U", () => {
    const outside = secret();
    const before = statSync(join(outside, "file"));
    said("run", "--name", "linker", "-v", "owned:/v", "busy", "ln", "-s", join(outside, "file"), "/v/link");
    said("run", "--rm", "--name", "taker", "-v", "owned:/v:U", "-u", "1000", "busy", "true");
    const after = statSync(join(outside, "file"));
    expect([after.uid, after.gid, after.mode]).toEqual([before.uid, before.gid, before.mode]);
  });

  boxTest("has no set-user-ID programs and no devices for who mounts it", () => {
    said("volume", "create", "programs");
    const options = said(
      "run",
      "--rm",
      "--name",
      "looker",
      "-v",
      "programs:/v",
      "busy",
      "grep",
      " /v ",
      "/proc/self/mountinfo",
    );
    expect(options).toMatch(/ \/v rw,nosuid,nodev,/);
  });
});
