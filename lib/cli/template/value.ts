/**
 * What templates work on. Go's integers are bigints here and its floating-point numbers are numbers; a `Map` is a Go
 * map, where a key that is missing is nothing, and an object is a struct, where a field that is missing is a mistake.
 * @module
 */

export type Value = null | boolean | bigint | number | string | readonly Value[] | ReadonlyMap<string, Value> | Struct;

/** Without a prototype: what it has is its own. */
export interface Struct {
  readonly [field: string]: Value;
}

/** Go's nil of a list and of a map: nothing is in it, and JSON has `null`. */
export const NO_LIST: readonly Value[] = Object.freeze([]);
export const NO_MAP: ReadonlyMap<string, Value> = new Map();

/** By structs, and the data that they come from: fields that JSON leaves out. */
const unsaid = new WeakMap<object, ReadonlySet<string>>();

/** Go's `omitempty`: a template finds fields that are empty, JSON has none of them. @param empty all that may be missing */
export function withUnsaid(data: object, empty: Record<string, unknown>): object {
  const missing = Object.entries(empty).filter(([name]) => (data as Record<string, unknown>)[name] === undefined);
  const whole = { ...data, ...Object.fromEntries(missing) };
  unsaid.set(whole, new Set(missing.map(([name]) => name)));
  return whole;
}

export const isSaid = (struct: object, name: string): boolean => unsaid.get(struct)?.has(name) !== true;

/** What plain data comes to; of objects, only what is their own. */
export function valueOf(data: unknown): Value {
  if (data === NO_LIST) return NO_LIST;
  if (data === NO_MAP) return NO_MAP;
  if (data === null || data === undefined) return null;
  if (typeof data === "number") return Number.isSafeInteger(data) ? BigInt(data) : data;
  if (typeof data === "boolean" || typeof data === "string" || typeof data === "bigint") return data;
  if (Array.isArray(data)) return data.map(valueOf);
  if (data instanceof Map) return new Map([...data].map(([key, value]) => [String(key), valueOf(value)]));
  const struct: Record<string, Value> = Object.create(null) as Record<string, Value>;
  for (const [name, value] of Object.entries(data)) if (value !== undefined) struct[name] = valueOf(value);
  const missing = unsaid.get(data);
  if (missing) unsaid.set(struct, missing);
  return struct;
}

export const isList = (value: Value): value is readonly Value[] => Array.isArray(value);
export const isMap = (value: Value): value is ReadonlyMap<string, Value> => value instanceof Map;
export const isStruct = (value: Value): value is Struct =>
  typeof value === "object" && value !== null && !isList(value) && !isMap(value);

/** Its names and values: a struct's in its order, a map's sorted, as Go shows them. */
export function entriesOf(value: ReadonlyMap<string, Value> | Struct): [name: string, value: Value][] {
  if (!isMap(value)) return Object.entries(value);
  return [...value].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

/** The field or key of a name; undefined where there is none. */
export function memberOf(value: ReadonlyMap<string, Value> | Struct, name: string): Value | undefined {
  if (isMap(value)) return value.get(name);
  return Object.hasOwn(value, name) ? value[name] : undefined;
}

/** Go's word for what it is. */
export function typeOf(value: Value): string {
  if (value === null) return "<nil>";
  if (typeof value === "bigint") return "int";
  if (typeof value === "number") return "float64";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "string") return "string";
  const elements = isList(value) ? value : isMap(value) ? [...value.values()] : undefined;
  if (!elements) return "struct";
  const element = elements.every((each) => typeof each === "string") ? "string" : "interface {}";
  return isList(value) ? `[]${element}` : `map[string]${element}`;
}

/** What `if` and `and` make of it. */
export function isTrue(value: Value): boolean {
  if (isList(value)) return value.length > 0;
  if (isMap(value)) return value.size > 0;
  return Boolean(value);
}
