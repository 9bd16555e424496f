/** What takes long gives others in its thread a turn: a server goes on answering. @module */
import { afterAll, expect, test } from "bun:test";
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Digester, digestOf } from "../lib/image/index.ts";
import { counted, piecesOf } from "../lib/images/pieces.ts";
import { packLayer, unpackLayer } from "../lib/layer/index.ts";
import { turns } from "../syscalls/index.ts";
import { asRoot } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());
const tree = folder.directory("tree");
writeFileSync(join(tree, "long"), "");
truncateSync(join(tree, "long"), 96 * 1024 * 1024);

/** How often others were, in the meantime. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  let count = 0;
  const timer = setInterval(() => count++, 1);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return count;
}

const packed: Uint8Array[] = [];
test.serial("a directory is packed", async () => {
  expect(await turnsDuring(() => packLayer(tree, (bytes) => void packed.push(bytes.slice())))).toBeGreaterThan(1);
});

test.serial("an archive is read that is in memory", async () => {
  const all = Buffer.concat(packed);
  const digester = new Digester();
  const read = async () => {
    for await (const piece of piecesOf(all)) digester.update(piece);
  };
  expect(await turnsDuring(read)).toBeGreaterThan(1);
  expect(digester.digest()).toBe(digestOf(all));
});

test.serial("a layer is unpacked by the program's own thread", async () => {
  const digest = digestOf(Buffer.concat(packed));
  const sizeBytes = packed.reduce((sum, { length }) => sum + length, 0);
  const fetched = async function* () {
    yield* packed;
  };
  const pieces = counted(fetched(), () => {});
  const layer = { pieces, compression: "none", digest, sizeBytes, diffId: digest } as const;
  const own = [{ containerID: 0, hostID: process.getuid?.() ?? 0, size: 1 }];
  const ids = asRoot ? {} : { ids: { uidMappings: own, gidMappings: own } };
  const into = folder.directory("unpacked");
  expect(await turnsDuring(() => unpackLayer(layer, into, ids))).toBeGreaterThan(1);
});

test("are no turns of those who have been aborted", () => {
  const stop = new AbortController();
  const turn = turns(stop.signal);
  expect(turn()).toBeUndefined();
  stop.abort(new Error("enough"));
  expect(() => turn()).toThrow("enough");
});
