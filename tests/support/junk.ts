/** What nobody should pass, and programs without types do. @module */

const circular: Record<string, unknown> = {};
circular["self"] = circular;
/** Each in the place of every option and argument. */
export const JUNK: [name: string, value: unknown][] = [
  ...[null, true, 0, -1, 1.5, NaN, Infinity, 2 ** 53, "", "\0", "x", "x".repeat(100_000), "\ud800"].map(
    (value): [string, unknown] => [String(value).slice(0, 20), value],
  ),
  ...[[], ["x"], [null], [[]], [1, 2, 3], Array(3), {}, { a: 1 }, { a: null }, JSON.parse('{"__proto__":{}}')].map(
    (value): [string, unknown] => [JSON.stringify(value), value],
  ),
  ["a huge array", Array.from({ length: 100_000 }, () => "x")],
  ["an object without a prototype", Object.create(null)],
  ["an object in a circle", circular],
  ["an object that is no JSON", { toJSON: () => undefined }],
  ["an object with a BigInt", { a: 10n }],
  ["a function", () => {}],
  ["a symbol", Symbol("x")],
  ["a BigInt", 10n],
  ["a Map", new Map([["memory", "1g"]])],
  ["a Date", new Date(0)],
  ["a Promise", Promise.resolve(1)],
  ["bytes", new Uint8Array(3)],
  ["a boxed string", Object("host")],
];
