/** Attacks on what reads and writes files for the owner: `box.fs`. Each has a control. @module */
import { afterAll, beforeEach, expect } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Sandbox } from "../../lib/index.ts";
import { noBusybox, testUnless } from "../support/machine.ts";
import { Folder, makeRootfs } from "../support/rootfs.ts";

const root = makeRootfs();
const outside = new Folder();
afterAll(() => [root, outside].forEach((folder) => folder.remove()));
beforeEach(() => void outside.write("kept", "host's"));
const kept = () => readFileSync(join(outside.path, "kept"), "utf8");
const attack = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, 60_000);

attack("a symlink out of the root filesystem leads nowhere but into it", async () => {
  root.link("escape", outside.path);
  root.link("escape-file", join(outside.path, "kept"));
  root.link("up", "../../../../../../../../../../" + outside.path);
  // control: from outside, the same paths lead out
  writeFileSync(join(root.path, "escape/kept"), "changed");
  expect(kept()).toBe("changed");
  writeFileSync(join(root.path, "escape-file"), "host's");
  await using box = await Sandbox.create({ rootfs: root.path });
  for (const path of ["/escape/kept", "/escape-file", "/up/kept"]) {
    expect([path, await box.fs.exists(path)]).toEqual([path, false]);
    await box.fs.write(path, "inside").catch(() => {});
    await box.fs.rm(path, { recursive: true }).catch(() => {});
  }
  expect(kept()).toBe("host's");
});

attack("nor does one that comes and goes while it is written, read and removed", async () => {
  await using box = await Sandbox.create({ rootfs: root.path });
  await using _ = box.spawn(
    ["sh", "-c", `mkdir -p /tmp/r; cd /tmp/r; while :; do mkdir d; rm -rf d; ln -s ${outside.path} d; rm -f d; done`],
    { stdout: "ignore", stderr: "ignore" },
  );
  let reached = 0;
  for (let turn = 0; turn < 150; turn++) {
    const done = await Promise.allSettled([
      box.fs.write("/tmp/r/d/kept", "inside"),
      box.fs.file("/tmp/r/d/kept").text(),
      box.fs.rm("/tmp/r/d", { recursive: true, force: true }),
    ]);
    reached += done.filter(({ status }) => status === "fulfilled").length;
    const read = done[1];
    if (read.status === "fulfilled") expect(read.value).not.toBe("host's");
  }
  expect(reached).toBeGreaterThan(0);
  expect(kept()).toBe("host's");
});

attack("root inside cannot look into it or stop it from being its owner's", async () => {
  await using box = await Sandbox.create({ rootfs: root.path });
  await box.fs.write("/tmp/big", new Uint8Array(1024));
  const stream = box.fs.file("/tmp/big").stream().getReader();
  await stream.read();
  const look = async (pid: string) => {
    const process = `/proc/${pid}`;
    const fds = await box.$`ls -l ${process}/fd`.nothrow().quiet();
    const program = await box.$`readlink ${process}/exe`.nothrow().quiet();
    const memory = await box.$`head -c 100 ${process}/environ; wc -c <${process}/maps`.nothrow().quiet();
    return [fds, program, memory].map((output) => output.text().replace("total 0\n", "").trim());
  };
  const agents = await box.$`grep -l '[t]sbox-join' /proc/[0-9]*/cmdline`.nothrow().text();
  expect(await look(/\d+/.exec(agents)?.[0] as string)).toEqual(["", "", ""]);
  // control: a process of the box can be looked into
  await using victim = box.spawn(["sleep", "100"], { stderr: "ignore" });
  const pid = (await box.$`until pidof sleep; do :; done`.text()).trim();
  expect((await look(pid)).map((text) => text !== "")).toEqual([true, true, true]);
  expect(victim.exitCode).toBeNull();
  await stream.cancel();
});
