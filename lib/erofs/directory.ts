/**
 * Directories of an image: blocks that each begin with what they have, then the names. Names are in the order of their
 * bytes, through all blocks, as the kernel looks for them by halves.
 *
 * ```
 * { u64 nid; u16 nameAt; u8 kind; u8 reserved }[]  names, one behind the other
 * ```
 * @module
 */
import { bytesOfName } from "../layer/index.ts";
import { BLOCK_BYTES, kindOf, nidOf, setNumber } from "./format.ts";
import type { Node } from "./node.ts";

const ENTRY_BYTES = 12;

export interface Listing {
  entries: { name: Uint8Array; node: Node }[];
  /** How many of them are in each block. */
  counts: number[];
  sizeBytes: number;
}

const encoder = new TextEncoder();
const [HERE, ABOVE] = [encoder.encode("."), encoder.encode("..")];
/** Up to U+D7FF UTF-16 is in the order of UTF-8. */
const isPlain = (name: string): boolean => !/[\ud800-\uffff]/.test(name);

export function listingOf(directory: Node, parent: Node): Listing {
  const children = directory.children ?? new Map<string, Node>();
  const names = [...children.keys()];
  const entries = names.map((name) => ({ text: name, name: bytesOfName(name), node: children.get(name) as Node }));
  entries.push({ text: ".", name: HERE, node: directory }, { text: "..", name: ABOVE, node: parent });
  if (names.every(isPlain)) entries.sort((a, b) => (a.text < b.text ? -1 : 1));
  else entries.sort((a, b) => Buffer.compare(a.name, b.name));
  const counts: number[] = [];
  let [count, used] = [0, 0];
  for (const { name } of entries) {
    const more = ENTRY_BYTES + name.length;
    if (used + more > BLOCK_BYTES) {
      counts.push(count);
      [count, used] = [0, 0];
    }
    count++;
    used += more;
  }
  counts.push(count);
  return { entries, counts, sizeBytes: (counts.length - 1) * BLOCK_BYTES + used };
}

export function putListing({ entries, counts }: Listing, bytes: Uint8Array, view: DataView, start: number): void {
  let index = 0;
  counts.forEach((count, block) => {
    const at = start + block * BLOCK_BYTES;
    let nameAt = count * ENTRY_BYTES;
    for (let place = at; place < at + count * ENTRY_BYTES; place += ENTRY_BYTES) {
      const { name, node } = entries[index++] as Listing["entries"][number];
      setNumber(view, place, nidOf(node.place));
      view.setUint16(place + 8, nameAt, true);
      view.setUint8(place + 10, kindOf(node));
      bytes.set(name, at + nameAt);
      nameAt += name.length;
    }
  });
}
