/**
 * Values of D-Bus as bytes, and back. What comes from the other side is read with care: no length that it says leads out
 * of the message, and nothing in it is nested without end.
 *
 * ```
 * string   u32 length │ bytes │ 0            signature   u8 length │ bytes │ 0
 * array    u32 length of what follows │ padding │ elements
 * variant  signature │ padding │ value       struct      padding to 8 │ fields
 * ```
 * @module
 * @see https://dbus.freedesktop.org/doc/dbus-specification.html#message-protocol-marshaling
 */
import { alignmentOf, Malformed, typesOf, type Basic, type Type, type Value, type Variant } from "./signature.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });
/** Variants in variants. */
const MAX_DEPTH = 16;

export class Writer {
  #bytes = new Uint8Array(512);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  get bytes(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }

  align(to: number): void {
    this.#room(to);
    while (this.length % to !== 0) this.#bytes[this.length++] = 0;
  }

  values(signature: string, values: readonly Value[]): void {
    typesOf(signature).forEach((type, index) => this.#value(type, values[index] as Value));
  }

  #value(type: Type, value: Value): void {
    this.align(alignmentOf(type));
    if (type.kind === "a") this.#array(type.of, value);
    else if (type.kind === "v") {
      const { signature, value: inner } = value as Variant;
      this.#basic("g", signature);
      this.#value(typesOf(signature)[0] as Type, inner);
    } else if (type.kind === "(" || type.kind === "{") {
      type.fields.forEach((field, index) => this.#value(field, (value as readonly Value[])[index] as Value));
    } else this.#basic(type.kind, value);
  }

  #array(of: Type, value: Value): void {
    const at = this.length;
    this.#basic("u", 0);
    this.align(alignmentOf(of));
    const begin = this.length;
    if (value instanceof Uint8Array) this.#put(value);
    else for (const element of value as readonly Value[]) this.#value(of, element);
    this.#view.setUint32(at, this.length - begin, true);
  }

  #basic(kind: Basic, value: Value): void {
    if (kind === "s" || kind === "o" || kind === "g") {
      const bytes = encoder.encode(value as string);
      this.#basic(kind === "g" ? "y" : "u", bytes.length);
      this.#put(bytes);
      this.#put(new Uint8Array(1));
      return;
    }
    this.align(alignmentOf({ kind }));
    this.#room(8);
    const { size, write } = NUMBERS[kind];
    write(this.#view, this.length, value);
    this.length += size;
  }

  #put(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  #room(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const larger = new Uint8Array((this.length + more) * 2);
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}

type Numeric = Exclude<Basic, "s" | "o" | "g">;

const NUMBERS: Record<
  Numeric,
  {
    size: number;
    write(view: DataView, at: number, value: Value): void;
    read(view: DataView, at: number, little: boolean): Value;
  }
> = {
  y: { size: 1, write: (view, at, value) => view.setUint8(at, Number(value)), read: (view, at) => view.getUint8(at) },
  b: {
    size: 4,
    write: (view, at, value) => view.setUint32(at, value === true ? 1 : 0, true),
    read: (view, at, little) => view.getUint32(at, little) !== 0,
  },
  n: {
    size: 2,
    write: (view, at, value) => view.setInt16(at, Number(value), true),
    read: (view, at, little) => view.getInt16(at, little),
  },
  q: {
    size: 2,
    write: (view, at, value) => view.setUint16(at, Number(value), true),
    read: (view, at, little) => view.getUint16(at, little),
  },
  i: {
    size: 4,
    write: (view, at, value) => view.setInt32(at, Number(value), true),
    read: (view, at, little) => view.getInt32(at, little),
  },
  u: {
    size: 4,
    write: (view, at, value) => view.setUint32(at, Number(value), true),
    read: (view, at, little) => view.getUint32(at, little),
  },
  h: {
    size: 4,
    write: (view, at, value) => view.setUint32(at, Number(value), true),
    read: (view, at, little) => view.getUint32(at, little),
  },
  x: {
    size: 8,
    write: (view, at, value) => view.setBigInt64(at, BigInt(value as number | bigint), true),
    read: (view, at, little) => view.getBigInt64(at, little),
  },
  t: {
    size: 8,
    write: (view, at, value) => view.setBigUint64(at, BigInt(value as number | bigint), true),
    read: (view, at, little) => view.getBigUint64(at, little),
  },
  d: {
    size: 8,
    write: (view, at, value) => view.setFloat64(at, Number(value), true),
    read: (view, at, little) => view.getFloat64(at, little),
  },
};

export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #little: boolean;
  /** Alignment counts from the beginning of the bytes. */
  at = 0;

  constructor(bytes: Uint8Array, little: boolean) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#little = little;
  }

  align(to: number): void {
    this.at = Math.ceil(this.at / to) * to;
  }

  /** @throws Malformed */
  values(signature: string): Value[] {
    return typesOf(signature).map((type) => this.#value(type, 0));
  }

  #value(type: Type, depth: number): Value {
    if (depth > MAX_DEPTH) throw new Malformed("its variants are nested too deeply");
    this.align(alignmentOf(type));
    if (type.kind === "a") return this.#array(type.of, depth);
    if (type.kind === "(" || type.kind === "{") return type.fields.map((field) => this.#value(field, depth));
    if (type.kind !== "v") return this.#basic(type.kind);
    const signature = this.#basic("g") as string;
    const [inner, more] = typesOf(signature);
    if (!inner || more) throw new Malformed("a variant has no type of its own");
    return { signature, value: this.#value(inner, depth + 1) };
  }

  #array(of: Type, depth: number): Value {
    const length = this.#basic("u") as number;
    this.align(alignmentOf(of));
    const end = this.at + length;
    if (end > this.#bytes.length) throw new Malformed("an array is longer than the message");
    if (of.kind === "y") return this.#take(length);
    const values: Value[] = [];
    while (this.at < end) values.push(this.#value(of, depth));
    if (this.at !== end) throw new Malformed("an array ends within one of its elements");
    return values;
  }

  #basic(kind: Basic): Value {
    if (kind === "s" || kind === "o" || kind === "g") {
      const length = this.#basic(kind === "g" ? "y" : "u") as number;
      const bytes = this.#take(length);
      if (this.#take(1)[0] !== 0) throw new Malformed("a text does not end where it should");
      return textOf(bytes);
    }
    const { size, read } = NUMBERS[kind];
    this.align(size);
    if (this.at + size > this.#bytes.length) throw new Malformed("it ends too early");
    const value = read(this.#view, this.at, this.#little);
    this.at += size;
    return value;
  }

  #take(length: number): Uint8Array {
    if (this.at + length > this.#bytes.length) throw new Malformed("it ends too early");
    const bytes = this.#bytes.slice(this.at, this.at + length);
    this.at += length;
    return bytes;
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new Malformed("a text is no UTF-8");
  }
}
