/**
 * `index.json` of an image layout: the names of images, and what they lead to. Other tools write it as well, so what is
 * not understood of it stays as it is, byte for byte.
 * @module
 * @see https://github.com/opencontainers/image-spec/blob/main/image-layout.md#indexjson-file
 */
import { show, TsboxError } from "../../syscalls/index.ts";
import { descriptorReader, isDigest, type Descriptor } from "../image/index.ts";
import { Mismatch } from "../schema/index.ts";
import { storing, unavailable } from "./failure.ts";
import { elementsOf, memberOf, withoutMember } from "./json-text.ts";
import { patiently, type StoreRoot } from "./root.ts";

/** What umoci and skopeo write is a tag, or any text; tsbox writes the whole reference. */
export const REF_NAME = "org.opencontainers.image.ref.name";
const FILE = "index.json";
/** A hundred thousand names; others have no more, either. */
export const MAX_INDEX_BYTES = 16 * 2 ** 20;
/** Of any algorithm: nothing that leads out of a directory. */
const ANY_DIGEST = /^(?!sha(?:256|512):)[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

export interface IndexEntry {
  /** Undefined where its digest is of an algorithm that tsbox does not know: it is kept, and that is all. */
  descriptor?: Descriptor;
  name?: string;
}

export interface WrittenEntry extends IndexEntry {
  /** As it is written. */
  text: string;
}

/** As it was read: what is asked for is checked, the rest is not, so that one name is found quickly. */
export class IndexFile {
  readonly text: string;
  readonly #manifests: readonly unknown[];
  #entries: IndexEntry[] | undefined;

  /** @throws Mismatch, SyntaxError, RangeError */
  constructor(bytes: Uint8Array) {
    this.text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(this.text);
    if (!isObject(value)) throw new Mismatch("it is not an object");
    const { schemaVersion, manifests } = value;
    if (schemaVersion !== 2) throw new Mismatch(`its version ${show(schemaVersion)} is not 2`);
    // null is Go's word for an empty list
    if (!Array.isArray(manifests ?? [])) throw new Mismatch("manifests is not a list");
    this.#manifests = (manifests as unknown[] | null | undefined) ?? [];
  }

  /** @throws TsboxError `store_unavailable` where one of them is not as it should be */
  get entries(): readonly IndexEntry[] {
    return (this.#entries ??= checked(() => this.#manifests.map(entryOf)));
  }

  /** The first with a name, and with all that lead to the same. */
  find(name: string): { descriptor: Descriptor; names: string[] } | undefined {
    // where nothing is written in another way than it is, a name that is there is there as text
    if (!this.text.includes("\\") && !this.text.includes(name)) return undefined;
    const at = this.#manifests.findIndex((value) => nameIn(value) === name);
    if (at < 0) return undefined;
    const { descriptor } = checked(() => entryOf(this.#manifests[at], at));
    if (!descriptor) return undefined;
    const same = this.#manifests.filter((value) => isObject(value) && value["digest"] === descriptor.digest);
    const others = same.map(nameIn).filter((other) => other !== undefined && other !== name);
    return { descriptor, names: [name, ...(others as string[])] };
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function nameIn(value: unknown): string | undefined {
  const annotations = isObject(value) ? value["annotations"] : undefined;
  const name = isObject(annotations) && Object.hasOwn(annotations, REF_NAME) ? annotations[REF_NAME] : undefined;
  return typeof name === "string" && name !== "" ? name : undefined;
}

function entryOf(value: unknown, at: number): IndexEntry {
  const where = `manifests[${at}]`;
  if (!isObject(value)) throw new Mismatch(`${where} is not an object`);
  const { digest } = value;
  if (!isDigest(digest)) {
    if (typeof digest === "string" && ANY_DIGEST.test(digest)) return {};
    throw new Mismatch(`${where}.digest ${show(digest)} is not a digest`);
  }
  try {
    const descriptor = descriptorReader(value);
    const name = nameIn(value);
    return { descriptor, ...(name === undefined ? {} : { name }) };
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    throw new Mismatch(`${where}${error.where === "" ? "" : `.${error.where}`}: ${error.why}`);
  }
}

const ACTION = `read ${FILE}`;
const HINT = "it is damaged: put back a copy, or start anew with another store (TSBOX_ROOT, --root)";

function checked<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof Mismatch ? unavailable(ACTION, error.why, HINT, error) : error;
  }
}

/** @throws TsboxError `store_unavailable` where it is missing or damaged */
export function readIndexFile({ oci }: StoreRoot): IndexFile {
  const index = patiently(() => {
    const bytes = storing(() => oci.read(FILE, MAX_INDEX_BYTES));
    if (!bytes) throw unavailable(ACTION, "it is missing", HINT);
    try {
      return checked(() => new IndexFile(bytes));
    } catch (error) {
      if (error instanceof TsboxError) throw error;
      return undefined;
    }
  });
  if (!index) throw unavailable(ACTION, "it is no JSON", HINT);
  return index;
}

/** As it is written, to be changed. */
export class WrittenIndex {
  readonly entries: readonly WrittenEntry[];
  readonly #before: string;
  readonly #behind: string;

  private constructor(before: string, entries: readonly WrittenEntry[], behind: string) {
    this.#before = before;
    this.entries = entries;
    this.#behind = behind;
  }

  static of({ text, entries }: IndexFile): WrittenIndex {
    const list = memberOf(text, "manifests");
    if (!list) {
      const end = text.lastIndexOf("}");
      return new WrittenIndex(`${text.slice(0, end)},"manifests":[`, [], `]${text.slice(end)}`);
    }
    const [before, behind] = [text.slice(0, list.value.start), text.slice(list.value.end)];
    if (text[list.value.start] !== "[") return new WrittenIndex(`${before}[`, [], `]${behind}`);
    const spans = elementsOf(text, list.value);
    const written = spans.map(({ start, end }, at) => ({ ...entries[at], text: text.slice(start, end) }));
    const [first, last] = [spans[0], spans.at(-1)];
    const close = list.value.end - 1;
    return new WrittenIndex(text.slice(0, first?.start ?? close), written, text.slice(last?.end ?? close));
  }

  /** With other entries, and all else as it was. */
  with(entries: readonly WrittenEntry[]): WrittenIndex {
    return new WrittenIndex(this.#before, entries, this.#behind);
  }

  toString(): string {
    return `${this.#before}${this.entries.map(({ text }) => text).join(",")}${this.#behind}`;
  }
}

/** Replaces it as a whole; the caller has the store's lock. */
export function writeIndexFile(root: StoreRoot, index: WrittenIndex): void {
  const bytes = new TextEncoder().encode(index.toString());
  storing(() => root.withSpare(() => root.oci.replace(FILE, bytes, 0o644, true)));
}

/** Left by a process that was killed while it wrote; the caller has the store's lock. */
export const removeHalfWritten = ({ oci }: StoreRoot): void => storing(() => oci.remove(`.${FILE}.new`));

/** An entry of tsbox's own. */
export function newEntry(name: string | undefined, descriptor: Descriptor): WrittenEntry {
  const { annotations = {}, ...plain } = descriptor;
  const { [REF_NAME]: _, ...others } = annotations;
  const all = name === undefined ? others : { ...others, [REF_NAME]: name };
  const written = Object.keys(all).length > 0 ? { ...plain, annotations: all } : plain;
  return { descriptor: written, text: JSON.stringify(written), ...(name === undefined ? {} : { name }) };
}

/** The same image without its name: nothing else of the entry changes. */
function nameless(entry: WrittenEntry): WrittenEntry {
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
export function withName(index: WrittenIndex, name: string, descriptor: Descriptor): WrittenIndex {
  if (index.entries.some((entry) => entry.name === name && entry.descriptor?.digest === descriptor.digest))
    return index;
  const others = withoutName(index, name).entries.filter(
    (entry) => entry.name !== undefined || entry.descriptor?.digest !== descriptor.digest,
  );
  return index.with([...others, newEntry(name, descriptor)]);
}

/** The image stays, without a name where it has no other. */
export function withoutName(index: WrittenIndex, name: string): WrittenIndex {
  const there = new Set(index.entries.map((entry) => (entry.name === name ? undefined : entry.descriptor?.digest)));
  const entries = index.entries.flatMap((entry) => {
    if (entry.name !== name) return [entry];
    const { digest } = entry.descriptor ?? {};
    if (there.has(digest)) return [];
    there.add(digest);
    return [nameless(entry)];
  });
  return index.with(entries);
}
