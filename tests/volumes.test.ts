/** Volumes in the library: how they are made, filled, mounted and removed, also by who was killed at it. @module */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Home, type ContainerOptions } from "../lib/containers/index.ts";
// not a face: what a container mounts is looked at here without one
import { resolveMounts, type ImageFiles } from "../lib/containers/mounts.ts";
import { Tsbox } from "../lib/index.ts";
import { imageIds } from "../lib/launch/index.ts";
import { parseMount, parseVolume, prepareVolume, Volumes, type VolumeRecord } from "../lib/volumes/index.ts";
import { failureOf } from "./support/failure.ts";
import { asRoot } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());

let count = 0;
let root: string;
let home: Home;
let volumes: Volumes;
beforeEach(() => {
  home?.[Symbol.dispose]();
  root = folder.directory(`store-${count++}`);
  home = new Home(root);
  volumes = new Volumes(() => home.state);
});
afterAll(() => home?.[Symbol.dispose]());

const place = (name: string, ...more: string[]) => join(root, "volumes", name, ...more);
const data = (name: string, ...more: string[]) => place(name, "_data", ...more);

/** A layer that a function fills. @returns its path */
function layer(fill: (path: string) => void): string {
  const path = folder.directory(`layer-${count++}`);
  fill(path);
  return path;
}
const write = (path: string, text = "") => {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, text);
};

/** What a container with these options mounts, made and filled. */
async function resolved(options: ContainerOptions, image: ImageFiles = { layers: [] }) {
  const found = resolveMounts(home, options, image);
  home.state.transaction(() => found.insert());
  await found.fill("c".repeat(64));
  return found;
}

test("options that are misspelt are refused, and nothing is made or removed", async () => {
  const bad = (options: object) => options as never;
  expect(() => volumes.create(bad({ nam: "data" }))).toThrow('use the option "nam" of volumes.create: unknown');
  expect(() => volumes.list(bad({ label: "x" }))).toThrow('use the filter "label" "x": not an array of strings');
  volumes.create({ name: "kept" });
  const pruned = async () => await volumes.prune(bad({ all: true, filter: { label: ["x"] } }));
  expect(pruned).toThrow('use the option "filter" of volumes.prune: unknown');
  expect(volumes.list().map(({ name }) => name)).toEqual(["kept"]);
});

describe("names", () => {
  test.each(["..", ".hidden", "a/b", "a b", "-a", "a\n", "ä", "", "a".repeat(256), "a"])("%j is none", (name) => {
    expect(() => volumes.create({ name })).toThrow();
    expect(existsSync(join(root, "volumes"))).toBe(false);
  });

  test("one that is made up is of 64 hexadecimal digits, and anonymous", () => {
    const { name, anonymous } = volumes.create();
    expect([name, anonymous]).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), true]);
    expect(volumes.create({ name: "own" }).anonymous).toBe(false);
  });

  test("the engine has them", async () => {
    using engine = new Tsbox({ root });
    engine.volumes.create({ name: "data", labels: { tier: "web" } });
    expect(engine.volumes.list({ label: ["tier=web"] })).toMatchObject([{ name: "data", driver: "local" }]);
    expect(statSync(engine.volumes.path("data")).mode & 0o7777).toBe(0o755);
    await engine.volumes.remove("data");
    expect((await failureOf(async () => engine.volumes.get("data"))).code).toBe("volume_not_found");
  });
});

describe("words", () => {
  const cwd = "/cwd";
  test.each([
    ["data:/data", { type: "volume", source: "data", target: "/data" }],
    ["/data/", { type: "volume", target: "/data" }],
    ["./a:/b:ro", { type: "bind", source: "/cwd/a", target: "/b", readOnly: true, create: true }],
    ["a1:/b:nocopy,U", { type: "volume", source: "a1", target: "/b", noCopy: true, chown: true }],
    ["a1:/b:Z,rro", { type: "volume", source: "a1", target: "/b", relabel: "private", readOnly: true }],
    ["/a:/b:rslave,z", { type: "bind", source: "/a", target: "/b", propagation: "rslave", relabel: "shared" }],
  ])("-v %s", (text, mount) => {
    expect(parseVolume(text, cwd)).toMatchObject(mount);
  });

  test.each([
    [
      "type=volume,source=data,target=/data,volume-nocopy,volume-subpath=a/b,ro",
      { type: "volume", source: "data", target: "/data", noCopy: true, subpath: "a/b", readOnly: true },
    ],
    [
      'target=/d,volume-driver=local,volume-opt=type=tmpfs,"volume-opt=o=size=1m,mode=700",volume-label=a=b',
      { driver: "local", driverOptions: { type: "tmpfs", o: "size=1m,mode=700" }, labels: { a: "b" } },
    ],
    ["type=image,src=busy,dst=/i,subpath=bin", { type: "image", source: "busy", target: "/i", subpath: "bin" }],
    ["type=bind,src=/a,dst=/b,U,relabel=shared", { chown: true, relabel: "shared" }],
  ])("--mount %s", (text, mount) => {
    expect(parseMount(text, cwd)).toMatchObject(mount);
  });
});

describe("a new volume", () => {
  test("gets what the image has there, of all its layers", async () => {
    const below = layer((path) => {
      write(join(path, "srv/data/a"), "below");
      write(join(path, "srv/data/b"), "below");
      write(join(path, "srv/data/closed/old"));
      chmodSync(join(path, "srv/data"), 0o711);
    });
    const top = layer((path) => {
      write(join(path, "srv/data/a"), "top");
      write(join(path, "srv/data/run.sh"), "#!");
      chmodSync(join(path, "srv/data/run.sh"), asRoot ? 0o4755 : 0o755);
      linkSync(join(path, "srv/data/a"), join(path, "srv/data/hard"));
      symlinkSync("/etc/shadow", join(path, "srv/data/link"));
      mkdirSync(join(path, "srv/data/closed"));
      chmodSync(join(path, "srv/data"), 0o2751);
      Bun.spawnSync(["setfattr", "-n", "user.overlay.opaque", "-v", "y", join(path, "srv/data/closed")]);
      Bun.spawnSync(["setfattr", "-n", "user.kept", "-v", "yes", join(path, "srv/data/a")]);
    });
    await resolved({ volumes: ["data:/srv/data"] }, { layers: [top, below] });
    expect(readdirSync(data("data")).toSorted()).toEqual(["a", "b", "closed", "hard", "link", "run.sh"]);
    expect(readFileSync(data("data", "a"), "utf8")).toBe("top");
    expect(statSync(data("data", "a")).ino).toBe(statSync(data("data", "hard")).ino);
    expect(statSync(data("data", "a")).ino).not.toBe(statSync(join(top, "srv/data/a")).ino);
    expect(lstatSync(data("data", "link")).isSymbolicLink()).toBe(true);
    expect(readdirSync(data("data", "closed"))).toEqual([]);
    expect(statSync(data("data")).mode & 0o7777).toBe(0o2751);
    expect(statSync(data("data", "run.sh")).mode & 0o7777).toBe(asRoot ? 0o4755 : 0o755);
    const kept = Bun.spawnSync(["getfattr", "--only-values", "-n", "user.kept", data("data", "a")]);
    expect(kept.stdout.toString()).toBe("yes");
    expect(readdirSync(place("data")).toSorted()).toEqual(["_data", "lock", "record.json"]);
  });

  test.skipIf(!asRoot)("keeps owners", async () => {
    const image = layer((path) => {
      write(join(path, "d/file"));
      Bun.spawnSync(["chown", "-R", "7:8", join(path, "d")]);
    });
    await resolved({ volumes: ["owned:/d"] }, { layers: [image] });
    expect([data("owned"), data("owned", "file")].map((path) => statSync(path).uid)).toEqual([7, 7]);
  });

  test("gets nothing where there is something in it, where the image has none, or nobody wants it", async () => {
    const image = layer((path) => write(join(path, "d/file")));
    volumes.create({ name: "full" });
    writeFileSync(data("full", "own"), "");
    await resolved(
      { volumes: ["full:/d", "none:/other", "unwanted:/d2:nocopy"] },
      { layers: [layer((path) => write(join(path, "d2/file"))), image] },
    );
    expect(readdirSync(data("full"))).toEqual(["own"]);
    expect(readdirSync(data("none"))).toEqual([]);
    expect(readdirSync(data("unwanted"))).toEqual([]);
  });

  test("is filled through symlinks of the image, as if that were all there is", async () => {
    folder.write("secret/file", "of the host");
    const image = layer((path) => {
      write(join(path, "real/file"), "of the image");
      symlinkSync("real", join(path, "inside"));
      symlinkSync(join(folder.path, "secret"), join(path, "outside"));
      symlinkSync(`${"../".repeat(20)}${folder.path}/secret`, join(path, "up"));
      symlinkSync("loop", join(path, "loop"));
      mkdirSync(join(path, "on/the"), { recursive: true });
      symlinkSync("../../inside/..//real", join(path, "on/the/way"));
    });
    const all = ["inside", "outside", "up", "loop", "on/the/way"];
    await resolved({ volumes: all.map((path, at) => `v${at}:/${path}`) }, { layers: [image] });
    expect(all.map((_, at) => readdirSync(data(`v${at}`)))).toEqual([["file"], [], [], [], ["file"]]);
    expect(readFileSync(data("v4", "file"), "utf8")).toBe("of the image");
  });

  test("is of the container alone for each of the image's, unless something else is mounted there", async () => {
    const image = { config: { Volumes: { "/a": {}, "/b/": {}, "/c": {} } }, layers: [] };
    const { volumes: used } = await resolved(
      { volumes: ["named:/b"], mounts: [{ type: "tmpfs", target: "/c" }] },
      image,
    );
    expect(used).toMatchObject([
      { name: "named", target: "/b", anonymous: false },
      { target: "/a", anonymous: true },
    ]);
    expect(volumes.list().map(({ anonymous }) => anonymous)).toContain(true);
  });
});

describe("who is killed", () => {
  test("after it was written down leaves a volume that the next one fills", async () => {
    const image = layer((path) => write(join(path, "d/file"), "whole"));
    const options = { volumes: ["late:/d"] };
    const found = resolveMounts(home, options, { layers: [image] });
    home.state.transaction(() => found.insert());
    expect(existsSync(place("late"))).toBe(false);
    expect(volumes.get("late")).toMatchObject({ unfilled: true });
    await prepareVolume(home.state, "late", "x", { layers: [image], path: "/d" });
    expect(readFileSync(data("late", "file"), "utf8")).toBe("whole");
    expect(volumes.get("late").unfilled).toBeUndefined();
  });

  test("while it was filled leaves what the next one begins anew", async () => {
    const image = layer((path) => write(join(path, "d/file"), "whole"));
    volumes.create({ name: "half" });
    write(place("half", "_filling", "file"), "ha");
    write(place("half", "_filling", "other"), "of before");
    await resolved({ volumes: ["half:/d"] }, { layers: [image] });
    expect(readdirSync(data("half"))).toEqual(["file"]);
    expect(readdirSync(place("half")).toSorted()).toEqual(["_data", "lock", "record.json"]);
  });

  test("while it was removed leaves what is removed next", async () => {
    volumes.create({ name: "going" });
    volumes.create({ name: "staying" });
    home.state.volumes.update<VolumeRecord>("going", (row) => ({ ...row, removing: true }));
    expect(volumes.list().map(({ name }) => name)).toEqual(["staying"]);
    expect(() => volumes.get("going")).toThrow("get going: no such volume");
    expect(() => volumes.create({ name: "going" })).toThrow("create going: it is being removed");
    // made again by who was just making it, when it went
    write(place("late", "_data", "file"));
    await volumes.prune();
    expect(readdirSync(join(root, "volumes"))).toEqual(["staying"]);
    expect(volumes.create({ name: "going" }).name).toBe("going");
  });

  test("before its directory was made: it is made when it is needed", async () => {
    home.state.transaction(() => volumes.claim({ name: "bare" }));
    expect(existsSync(place("bare"))).toBe(false);
    await resolved({ volumes: ["bare:/d"] });
    expect(readdirSync(data("bare"))).toEqual([]);
  });
});

test("volumes are found again where the database is lost", () => {
  volumes.create({ name: "kept", labels: { a: "b" } });
  writeFileSync(data("kept", "file"), "kept");
  home[Symbol.dispose]();
  for (const name of readdirSync(root)) if (name.startsWith("state.")) rmSync(join(root, name));
  home = new Home(root);
  expect(volumes.list()).toMatchObject([{ name: "kept", labels: { a: "b" }, anonymous: false }]);
  expect(readFileSync(data("kept", "file"), "utf8")).toBe("kept");
});

describe("one that is removed", () => {
  test("takes all with it, and nothing that a symlink leads to", async () => {
    volumes.create({ name: "wild" });
    folder.write("outside/file", "stays");
    symlinkSync(join(folder.path, "outside"), data("wild", "link"));
    let deep = data("wild");
    for (let level = 0; level < 200; level++) mkdirSync((deep = join(deep, "d")));
    mkdirSync(data("wild", "closed"));
    writeFileSync(data("wild", "closed", "file"), "");
    chmodSync(data("wild", "closed"), 0);
    await volumes.remove("wild");
    expect(existsSync(place("wild"))).toBe(false);
    expect(readdirSync(join(folder.path, "outside"))).toEqual(["file"]);
    expect(readdirSync(join(root, "volumes"))).toEqual([]);
  });

  test("is told to others as what happens", async () => {
    volumes.create({ name: "told" });
    await volumes.remove("told");
    const told = home.state.eventsAfter(0).map(({ type, action, id }) => `${type} ${action} ${id}`);
    expect(told).toEqual(["volume create told", "volume destroy told"]);
  });
});

test("many at once make one volume", async () => {
  const script = `
    import { Home } from ${JSON.stringify(join(import.meta.dir, "../lib/containers/index.ts"))};
    import { Volumes } from ${JSON.stringify(join(import.meta.dir, "../lib/volumes/index.ts"))};
    const volumes = new Volumes(() => home.state);
    const home = new Home(${JSON.stringify(root)});
    for (let at = 0; at < 20; at++) volumes.create({ name: \`shared\${at}\` });
  `;
  const file = folder.write(`many-${count++}.ts`, script);
  const all = Array.from({ length: 4 }, () => Bun.spawn([process.execPath, file], { stderr: "pipe" }));
  for (const each of all) expect([await each.exited, await each.stderr.text()]).toEqual([0, ""]);
  expect(volumes.list()).toHaveLength(20);
  expect(home.state.eventsAfter(0)).toHaveLength(20);
}, 60_000);

test("of an ordinary user with subordinate ids, what others own in the image is copied as well", async () => {
  if (asRoot || !imageIds()) return;
  const image = layer((path) => {
    write(join(path, "d/file"), "x");
    chmodSync(join(path, "d"), 0o700);
  });
  await resolved({ volumes: ["mine:/d"] }, { layers: [image] });
  expect(readdirSync(data("mine"))).toEqual(["file"]);
  await volumes.remove("mine");
  expect(existsSync(place("mine"))).toBe(false);
});
