/**
 * `index.json` of an image layout: the names of images, and what they lead to. Other tools write it as well, so what is
 * not understood of it stays as it is, byte for byte.
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/image-layout.md#indexjson-file
 */
import { show } from "../../syscalls/index.ts";
import { descriptorReader, isDigest, type Descriptor } from "../image/index.ts";
import { Mismatch } from "../schema/index.ts";
import { storing, unavailable } from "./failure.ts";
import { elementsOf, memberOf, withoutMember, type Span } from "./json-text.ts";
import { standStill, type StoreRoot } from "./root.ts";

/** What umoci and skopeo write is a tag, or any text; tsbox writes the whole reference. */
export const REF_NAME = "org.opencontainers.image.ref.name";
const FILE = "index.json";
/** A hundred thousand names; others have no more, either. */
export const MAX_INDEX_BYTES = 16 * 2 ** 20;
/** Other tools write it in place: what is no JSON now may be in a moment. */
const [ATTEMPTS, AGAIN_MS] = [10, 5];
/** Of any algorithm: nothing that leads out of a directory. */
const ANY_DIGEST = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

export interface IndexEntry {
  /** Undefined where its digest is of an algorithm that tsbox does not know: it is kept, and that is all. */
  descriptor?: Descriptor;
  name?: string;
  /** As it is written. */
  text: string;
}

export class IndexFile {
  readonly entries: readonly IndexEntry[];
  readonly #before: string;
  readonly #behind: string;

  private constructor(before: string, entries: readonly IndexEntry[], behind: string) {
    this.#before = before;
    this.entries = entries;
    this.#behind = behind;
  }

  /** @throws Mismatch, SyntaxError, RangeError */
  static parse(bytes: Uint8Array): IndexFile {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Mismatch("it is not an object");
    const { schemaVersion, manifests } = value as Record<string, unknown>;
    if (schemaVersion !== 2) throw new Mismatch(`its version ${show(schemaVersion)} is not 2`);
    const list = memberOf(text, "manifests");
    if (!list) {
      const end = text.lastIndexOf("}");
      return new IndexFile(`${text.slice(0, end)},"manifests":[`, [], `]${text.slice(end)}`);
    }
    const before = text.slice(0, list.value.start);
    const behind = text.slice(list.value.end);
    // Go's word for an empty list
    if (manifests === null) return new IndexFile(`${before}[`, [], `]${behind}`);
    if (!Array.isArray(manifests)) throw new Mismatch("manifests is not a list");
    const spans = elementsOf(text, list.value);
    const entries = spans.map((span, at) => entryOf(text, span, manifests[at], at));
    const [first = { start: list.value.end - 1 }, last = { end: list.value.end - 1 }] = [spans[0], spans.at(-1)];
    return new IndexFile(text.slice(0, first.start), entries, text.slice(last.end));
  }

  /** With other entries, and all else as it was. */
  with(entries: readonly IndexEntry[]): IndexFile {
    return new IndexFile(this.#before, entries, this.#behind);
  }

  toString(): string {
    return `${this.#before}${this.entries.map(({ text }) => text).join(",")}${this.#behind}`;
  }
}

function entryOf(text: string, span: Span, value: unknown, at: number): IndexEntry {
  const own = text.slice(span.start, span.end);
  const where = `manifests[${at}]`;
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Mismatch(`${where} is no object`);
  const { digest } = value as Record<string, unknown>;
  if (typeof digest !== "string" || !ANY_DIGEST.test(digest))
    throw new Mismatch(`${where}.digest ${show(digest)} is not a digest`);
  if (!isDigest(digest)) return { text: own };
  try {
    const descriptor = descriptorReader(value);
    const name = descriptor.annotations?.[REF_NAME];
    return { descriptor, text: own, ...(name ? { name } : {}) };
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    throw new Mismatch(`${where}${error.where === "" ? "" : `.${error.where}`}: ${error.why}`);
  }
}

/** @throws TsboxError `store_unavailable` where it is missing or damaged */
export function readIndexFile({ oci }: StoreRoot): IndexFile {
  const action = `read ${show(`${oci.path}/${FILE}`)}`;
  for (let attempt = 1; ; attempt++) {
    const bytes = storing(() => oci.read(FILE, MAX_INDEX_BYTES));
    if (!bytes) throw unavailable(action, "it is missing", HINT);
    try {
      return IndexFile.parse(bytes);
    } catch (error) {
      if (error instanceof Mismatch) throw unavailable(action, error.why, HINT, error);
      if (attempt === ATTEMPTS) throw unavailable(action, "it is no JSON", HINT, error);
      standStill(AGAIN_MS);
    }
  }
}

const HINT = "it is damaged: put back a copy, or start anew with another store (TSBOX_ROOT, --root)";

/** Replaces it as a whole; the caller has the store's lock. */
export function writeIndexFile({ oci }: StoreRoot, index: IndexFile): void {
  storing(() => oci.replace(FILE, new TextEncoder().encode(index.toString()), 0o644, true));
}

/** An entry of tsbox's own. */
export function newEntry(name: string | undefined, descriptor: Descriptor): IndexEntry {
  const { annotations = {}, ...plain } = descriptor;
  const { [REF_NAME]: _, ...others } = annotations;
  const all = name === undefined ? others : { ...others, [REF_NAME]: name };
  const written = Object.keys(all).length > 0 ? { ...plain, annotations: all } : plain;
  return { descriptor: written, text: JSON.stringify(written), ...(name === undefined ? {} : { name }) };
}

/** The same image without its name: nothing else of the entry changes. */
export function nameless(entry: IndexEntry): IndexEntry {
  const annotations = memberOf(entry.text, "annotations");
  if (entry.name === undefined || !annotations || !entry.descriptor) return entry;
  const { start, end } = annotations.value;
  const others = withoutMember(entry.text.slice(start, end), REF_NAME);
  const { annotations: old = {}, ...descriptor } = entry.descriptor;
  const { [REF_NAME]: _, ...rest } = old;
  return {
    text: entry.text.slice(0, start) + others + entry.text.slice(end),
    descriptor: { ...descriptor, ...(Object.keys(rest).length > 0 ? { annotations: rest } : {}) },
  };
}

/** A name leads to an image from now on; an image that it led to, and that has no other, stays without one. */
export function withName(index: IndexFile, name: string, descriptor: Descriptor): IndexFile {
  if (index.entries.some((entry) => entry.name === name && entry.descriptor?.digest === descriptor.digest))
    return index;
  const others = withoutName(index, name).entries.filter(
    (entry) => entry.name !== undefined || entry.descriptor?.digest !== descriptor.digest,
  );
  return index.with([...others, newEntry(name, descriptor)]);
}

/** The image stays, without a name where it has no other. */
export function withoutName(index: IndexFile, name: string): IndexFile {
  const kept = index.entries.filter((entry) => entry.name !== name);
  const there = new Set(kept.map(({ descriptor }) => descriptor?.digest));
  for (const entry of index.entries) {
    if (entry.name !== name || there.has(entry.descriptor?.digest)) continue;
    kept.push(nameless(entry));
    there.add(entry.descriptor?.digest);
  }
  return index.with(kept);
}
