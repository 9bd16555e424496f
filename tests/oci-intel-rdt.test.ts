/**
 * Groups of resctrl. No machine of ours has one, so a directory stands for it; what the kernel puts into a new group,
 * the test does.
 * @module
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  findResctrl,
  joinIntelRdt,
  makeIntelRdt,
  planIntelRdt,
  removeIntelRdt,
  writeSchemata,
} from "../lib/oci/intel-rdt.ts";
import type { IntelRdt } from "../lib/spec/index.ts";
import { Descriptors, TsboxError, write } from "../syscalls/index.ts";
import { noSandbox } from "./support/machine.ts";
import { bundleIn, ociIn, runtimeIn } from "./support/oci.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

let folder: Folder;
let root: string;
beforeEach(() => {
  folder = new Folder();
  root = folder.directory("resctrl");
  populate(root, "    L3:0=00fffff;1=fffff\n    MB:0=100;1=100\n");
  for (const resource of ["L3", "MB"]) folder.directory(`resctrl/info/${resource}`);
  writeFileSync(join(root, "info/last_cmd_status"), "ok\n");
});
afterEach(() => folder.remove());

/** As the kernel does it. */
function populate(directory: string, schemata = ""): void {
  mkdirSync(join(directory, "mon_groups"), { recursive: true });
  for (const [file, text] of [
    ["tasks", ""],
    ["schemata", schemata],
  ] as const)
    writeFileSync(join(directory, file), text);
}
/** As the kernel does it: what lies in a group goes with it. */
const empty = (directory: string) => {
  for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true });
};
const existing = (name: string, schemata: string) => {
  mkdirSync(join(root, name));
  populate(join(root, name), schemata);
};
const content = (path: string) => readFileSync(join(root, path), "utf8");
const names = () => readdirSync(root).toSorted();
const OWN = ["info", "mon_groups", "schemata", "tasks"];

function errorOf(attempt: () => unknown): TsboxError {
  try {
    attempt();
  } catch (error) {
    expect(error).toBeInstanceOf(TsboxError);
    return error as TsboxError;
  }
  throw new Error("nothing was refused");
}

const SCHEMAS: IntelRdt = { l3CacheSchema: "L3:0=7f0;1=1f", memBwSchema: "MB:0=20;1=70" };

describe("resctrl", () => {
  test("is where it is mounted", () => {
    const line = (path: string, type: string) => `30 23 0:26 / ${path} rw,relatime shared:7 - ${type} none rw`;
    expect(findResctrl([line("/sys", "sysfs"), line("/sys/fs/resctrl", "resctrl")].join("\n"))).toBe("/sys/fs/resctrl");
    expect(findResctrl(line("/a\\040b\\134", "resctrl"))).toBe("/a b\\");
    expect(findResctrl(line("/resctrl", "tmpfs"))).toBeUndefined();
  });

  test("that is not mounted, or lacks what is asked for, is an error", () => {
    expect(errorOf(() => planIntelRdt({}, "c", findResctrl("")))).toMatchObject({ code: "limit_unavailable" });
    rmSync(join(root, "info/L3"), { recursive: true });
    expect(errorOf(() => planIntelRdt(SCHEMAS, "c", root)).message).toEndWith("Intel RDT/CAT is not enabled");
    rmSync(join(root, "info/MB"), { recursive: true });
    expect(errorOf(() => planIntelRdt({ memBwSchema: "MB:0=20" }, "c", root)).message).toEndWith(
      "Intel RDT/MBA is not enabled",
    );
    expect(names()).toEqual(OWN);
  });
});

describe("a group", () => {
  test("of the container's own is called by its id, and goes with it", () => {
    const record = planIntelRdt(SCHEMAS, "c", root);
    expect(record).toEqual({ root, group: join(root, "c"), made: join(root, "c") });
    expect(names()).toEqual(OWN);
    // the directory is made, and the kernel is not there to fill it
    expect(errorOf(() => makeIntelRdt(record, SCHEMAS)).message).toContain("ENOENT");
    populate(join(root, "c"));
    for (const line of [SCHEMAS.l3CacheSchema, SCHEMAS.memBwSchema]) {
      writeSchemata(record, line as string);
      expect(content("c/schemata")).toStartWith(`${line}\n`);
    }
    empty(join(root, "c"));
    removeIntelRdt(record);
    expect(names()).toEqual(OWN);
    removeIntelRdt(record);
  });

  test("of its name that was there before stays", () => {
    existing("c", "");
    const record = planIntelRdt(SCHEMAS, "c", root);
    expect(record.made).toBeUndefined();
    makeIntelRdt(record, SCHEMAS);
    expect(content("c/schemata")).toStartWith("MB:0=20;1=70\n");
    empty(join(root, "c"));
    removeIntelRdt(record);
    expect(existsSync(join(root, "c"))).toBe(true);
  });

  test("that somebody else has made meanwhile is an error, and stays", () => {
    const record = planIntelRdt({}, "c", root);
    writeFileSync(join(root, "c"), "");
    expect(errorOf(() => makeIntelRdt(record, {})).message).toContain("EEXIST");
    expect(record.made).toBeUndefined();
    removeIntelRdt(record);
    expect(existsSync(join(root, "c"))).toBe(true);
  });

  test("with a name has to be there, unless it is said what it holds; and stays", () => {
    const refused = errorOf(() => planIntelRdt({ closID: "gold" }, "c", root));
    expect(refused.message).toContain('the class of service "gold" does not exist');
    const record = planIntelRdt({ closID: "gold", ...SCHEMAS }, "c", root);
    expect(record).toEqual({ root, group: join(root, "gold") });
    existing("gold", "");
    removeIntelRdt(record);
    expect(planIntelRdt({ closID: "gold" }, "c", root)).toEqual(record);
    expect(planIntelRdt({ closID: "/" }, "c", root)).toEqual({ root, group: root });
  });

  test.each<[IntelRdt, boolean]>([
    [SCHEMAS, true],
    [{ l3CacheSchema: "L3:0=007F0" }, true],
    [{ l3CacheSchema: "L3: 1=1f ; 0=7f0" }, true],
    [{ memBwSchema: "MB:1=70" }, true],
    [{ l3CacheSchema: "L3:0=7f1" }, false],
    [{ l3CacheSchema: "L3:2=7f0" }, false],
    [{ memBwSchema: "MB:0=20;1=71" }, false],
    [{ l3CacheSchema: "L2:0=1" }, false],
    [{ schemata: ["L3:0=1"] }, true],
  ])("with a name that exists is not changed by %j", (schemas, same) => {
    existing("gold", "    L3:0=007f0;1=0001f\n    MB:0= 20;1= 70\n".replaceAll("= ", "="));
    const intelRdt = { closID: "gold", ...schemas };
    if (!same) {
      expect(errorOf(() => planIntelRdt(intelRdt, "c", root)).message).toContain("exists, and holds something else");
      return;
    }
    const before = content("gold/schemata");
    const record = planIntelRdt(intelRdt, "c", root);
    makeIntelRdt(record, intelRdt);
    if (schemas.schemata) expect(content("gold/schemata")).toStartWith("L3:0=1\n");
    else expect(content("gold/schemata")).toBe(before);
  });

  test("of monitoring lies in the other, and goes with the container", () => {
    existing("gold", "");
    const record = planIntelRdt({ closID: "gold", enableMonitoring: true }, "c", root);
    const monitor = join(root, "gold/mon_groups/c");
    expect(record).toEqual({ root, group: join(root, "gold"), monitor, made: monitor });
    makeIntelRdt(record, { closID: "gold", enableMonitoring: true });
    expect(existsSync(monitor)).toBe(true);
    removeIntelRdt(record);
    expect(readdirSync(join(root, "gold/mon_groups"))).toEqual([]);
    // with a group of its own, both go at once
    expect(planIntelRdt({ enableMonitoring: true }, "c", root).made).toBe(join(root, "c"));
  });

  test("is joined before the command runs, and that of monitoring after it", () => {
    existing("gold", "");
    mkdirSync(join(root, "gold/mon_groups/c"));
    populate(join(root, "gold/mon_groups/c"));
    const record = planIntelRdt({ closID: "gold", enableMonitoring: true }, "c", root);
    using opened = new Descriptors();
    const bound: Record<string, number> = {};
    expect(joinIntelRdt(record, { tasks: 3, into: true }, bound, opened)).toEqual({ tasks: 5, into: true });
    expect(Object.keys(bound)).toEqual(["cgroup3", "cgroup4"]);
    for (const fd of Object.values(bound)) expect(write(fd, new TextEncoder().encode("0"))).toBeGreaterThanOrEqual(0);
    expect([content("gold/tasks"), content("gold/mon_groups/c/tasks")]).toEqual(["0", "0"]);
    expect(joinIntelRdt(undefined, { tasks: 3, into: true }, bound, opened)).toEqual({ tasks: 3, into: true });
  });

  test("that cannot be made tells what resctrl says", () => {
    writeFileSync(join(root, "info/last_cmd_status"), "Mask f0f has non-consecutive 1-bits\n");
    const record = planIntelRdt({}, "c/d", root);
    expect(errorOf(() => makeIntelRdt(record, {}))).toMatchObject({
      code: "limit_unavailable",
      hint: "Mask f0f has non-consecutive 1-bits",
    });
  });
});

describe("a container", () => {
  test.skipIf(noSandbox !== undefined || findResctrl() !== undefined)("without resctrl does not start", () => {
    using rootfs = makeRootfs();
    const oci = ociIn(runtimeIn(folder));
    const bundle = bundleIn(folder, rootfs.path, ["true"]);
    const file = join(bundle, "config.json");
    const config = JSON.parse(readFileSync(file, "utf8")) as { linux: object };
    writeFileSync(file, JSON.stringify({ ...config, linux: { ...config.linux, intelRdt: {} } }));
    const { stderr, status } = oci("run", "--bundle", bundle, "c");
    expect(status).toBe(1);
    expect(stderr).toContain("intelRdt is specified in config, but Intel RDT is not enabled");
    expect(oci("list", "--quiet").stdout).toBe("");
  });
});
