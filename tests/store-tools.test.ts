/** The store's image layout as other tools read and write it, and layers of subordinate ids. @module */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { chainIds, digestOf } from "../lib/image/index.ts";
import { imageIds } from "../lib/launch/index.ts";
import { unpackLayer } from "../lib/layer/index.ts";
import { Store } from "../lib/store/index.ts";
import { testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";
import { contents, indexText, putImage, wholeImages } from "./support/store.ts";

const folder = new Folder();
afterAll(() => folder.remove());
const root = join(folder.path, "store");
const layout = join(root, "oci");
beforeEach(() => rmSync(root, { recursive: true, force: true }));
const open = () => Store.open({ root });

const NAME = "docker.io/library/debian:12";
const missing = (program: string) => (Bun.which(program) ? undefined : `${program} is not installed`);
const noTools = missing("skopeo") ?? missing("umoci");

function run(...words: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(words, {
    env: { ...process.env, HOME: folder.path, XDG_RUNTIME_DIR: folder.path },
  });
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stderr}`);
  return stdout.toString();
}
const skopeo = (...words: string[]) => run("skopeo", "--insecure-policy", ...words);

describe("skopeo and umoci", () => {
  testUnless(noTools, "read what tsbox wrote", async () => {
    using store = open();
    await putImage(store, NAME, { layers: ["base", "top"], config: { User: "7" } });
    const inspected = JSON.parse(skopeo("inspect", "--config", `oci:${layout}:${NAME}`));
    expect(inspected.config).toEqual({ User: "7" });
    skopeo("copy", `oci:${layout}:${NAME}`, `dir:${join(folder.path, "copy")}`);
    expect(run("umoci", "ls", "--layout", layout).trim()).toBe(NAME);
    const bundle = join(folder.path, "bundle");
    run("umoci", "unpack", "--rootless", "--image", `${layout}:${NAME}`, bundle);
    expect(["base", "top"].map((name) => readFileSync(join(bundle, "rootfs", name), "utf8"))).toEqual(["base", "top"]);
  });

  testUnless(noTools, "write what tsbox reads, changes and removes", async () => {
    using store = open();
    await putImage(store, NAME, { layers: ["base", "top"] });
    const copy = join(folder.path, "written");
    skopeo("copy", `oci:${layout}:${NAME}`, `dir:${copy}`);
    await store.removeImage(NAME);
    expect(contents(store).blobs).toEqual([]);
    skopeo("copy", `dir:${copy}`, `oci:${layout}:a-tag`);
    run("umoci", "config", "--image", `${layout}:a-tag`, "--tag", "changed", "--config.user", "1000");
    expect(wholeImages(store).map(({ names }) => names)).toEqual([["a-tag"], ["changed"]]);
    expect(store.findImage("changed")!.config.config?.User).toBe("1000");
    await putImage(store, NAME, { layers: ["base", "top"] });
    run("umoci", "tag", "--image", `${layout}:a-tag`, "again");
    run("umoci", "rm", "--image", `${layout}:a-tag`);
    expect(
      store
        .images()
        .flatMap(({ names }) => names)
        .toSorted(),
    ).toEqual(["again", "changed", NAME].toSorted());
    run("umoci", "gc", "--layout", layout);
    // "again" is the same image as that of tsbox
    expect(wholeImages(store).length).toBe(2);
    for (const name of ["again", "changed", NAME]) await store.removeImage(name);
    expect(contents(store)).toMatchObject({ layers: [], ingest: [], blobs: [] });
    expect(JSON.parse(indexText(store)).manifests).toEqual([]);
    expect(run("umoci", "ls", "--layout", layout)).toBe("");
  });

  testUnless(noTools, "leave a layout that can be read at any moment", async () => {
    using store = open();
    await putImage(store, NAME);
    const copy = join(folder.path, "moments");
    skopeo("copy", `oci:${layout}:${NAME}`, `dir:${copy}`);
    const children = Array.from({ length: 4 }, (_, at) =>
      Bun.spawn(["skopeo", "--insecure-policy", "copy", "-q", `dir:${copy}`, `oci:${layout}:tag-${at}`], {
        stderr: "pipe",
        env: { ...process.env, HOME: folder.path, XDG_RUNTIME_DIR: folder.path },
      }),
    );
    const over = Promise.all(children.map(({ exited }) => exited)).then(() => true);
    for (let isOver: boolean | undefined; !isOver; isOver = (await Promise.race([over, Bun.sleep(1)])) === true) {
      expect(store.findImage(NAME)).toBeDefined();
      await store.prune();
    }
    // what they take from each other is theirs to settle; what they named is whole
    expect(wholeImages(store).length).toBe(1);
  });
});

const ids = imageIds();
const noIds = process.geteuid?.() === 0 ? "about ordinary users" : ids ? undefined : "this user has no subordinate ids";

describe("layers of subordinate ids", () => {
  testUnless(noIds, "are removed, half unpacked and whole", async () => {
    const tree = folder.directory("tree");
    mkdirSync(join(tree, "closed/below"), { recursive: true });
    const packed = Bun.spawnSync(
      ["tar", "-c", "--owner=5", "--group=5", "--mode=700", "--mtime=@0", "-C", tree, "closed"],
      { stdout: "pipe" },
    ).stdout;
    const digest = digestOf(packed);
    using store = open();
    const [chainId = digest] = chainIds([digest]);
    const unpack = async () => {
      const layer = await store.prepareLayer(chainId, { ids: ids! });
      if (!layer.isPending) throw new Error("it is there");
      await unpackLayer(
        { pieces: [packed], compression: "none", digest, diffId: digest, sizeBytes: packed.length },
        layer.fs,
        { ids: ids! },
      );
      // it is another user's, so that its owner in the user namespace alone may look into it
      expect(statSync(join(layer.fs, "closed")).uid).not.toBe(process.geteuid!());
      return layer;
    };
    (await unpack()).abort();
    expect(store.findLayer(chainId, ids)).toBeUndefined();
    await store.prune();
    expect(contents(store)).toMatchObject({ layers: [], ingest: [] });
    const layer = (await unpack()).commit({ diffId: digest, bytes: 1, entries: 2 });
    expect(existsSync(layer.fs)).toBe(true);
    expect((await store.prune()).layers).toEqual([layer.key]);
    expect(contents(store)).toMatchObject({ layers: [], ingest: [] });
  });
});

test("the tools are those that the tests install", () => {
  expect(readFileSync(join(import.meta.dir, "setup.sh"), "utf8")).toMatch(/\bskopeo\b.*\bumoci\b/);
});
