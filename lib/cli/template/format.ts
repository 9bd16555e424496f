/**
 * Values as Go's fmt prints them.
 * @module
 * @see https://pkg.go.dev/fmt
 */
import { entriesOf, isList, isMap, typeOf, type Value } from "./value.ts";

/** What fmt takes for too large. */
const MAX_WIDTH = 1_000_000;
/** What JavaScript has of a number's digits at most; no double has more that are worth telling. */
const ALL = 100;

/** `%v` */
export function textOf(value: Value): string {
  if (value === null) return "<nil>";
  if (typeof value === "string") return value;
  if (typeof value === "number") return floatText(value, "g");
  return composed(value, textOf) ?? String(value);
}

/** Lists, maps and structs, their parts as `one` has them; undefined for others. */
function composed(value: Value, one: (part: Value) => string): string | undefined {
  if (value === null || typeof value !== "object") return undefined;
  if (isList(value)) return `[${value.map(one).join(" ")}]`;
  const entries = entriesOf(value);
  if (isMap(value)) return `map[${entries.map(([name, each]) => `${one(name)}:${one(each)}`).join(" ")}]`;
  return `{${entries.map(([, each]) => one(each)).join(" ")}}`;
}

/** `print`: a space between two that are no strings. */
export function printed(values: readonly Value[]): string {
  return values
    .map((value, at) => {
      const apart = at > 0 && typeof value !== "string" && typeof values[at - 1] !== "string";
      return (apart ? " " : "") + textOf(value);
    })
    .join("");
}

interface Verb {
  verb: string;
  flags: string;
  width: number | undefined;
  precision: number | undefined;
}

/** `printf`. What does not fit is said in the text, as in Go. */
export function formatted(format: string, values: readonly Value[], most = Infinity): string {
  let used = 0;
  let length = 0;
  /** A width or precision of `*`. */
  const given = (text: string | undefined): number | undefined | "bad" => {
    if (text === undefined || text === "") return undefined;
    const value = text === "*" ? values[used++] : BigInt(text);
    return typeof value === "bigint" && value >= -MAX_WIDTH && value <= MAX_WIDTH ? Number(value) : "bad";
  };
  const text = format.replaceAll(
    /%([-+# 0]*)(\*|\d+)?(?:(\.)(\*|\d+)?)?([^])?/gu,
    (_, flags: string, width?: string, dot?: string, precision?: string, verb?: string) => {
      if (verb === "[") throw new Error("numbers of arguments, as in %[1]d, are not supported");
      const wide = given(width);
      const precise = dot === undefined ? undefined : (given(precision) ?? 0);
      const prefix = (wide === "bad" ? "%!(BADWIDTH)" : "") + (precise === "bad" ? "%!(BADPREC)" : "");
      if (verb === undefined) return `${prefix}%!(NOVERB)`;
      if (verb === "%") return `${prefix}%`;
      if (used >= values.length) return `${prefix}%!${verb}(MISSING)`;
      const value = values[used++] as Value;
      const negative = typeof wide === "number" && wide < 0;
      const one =
        prefix +
        formatOne(value, {
          verb,
          flags: negative ? `${flags}-` : flags,
          width: wide === "bad" ? undefined : wide && Math.abs(wide),
          precision: precise === "bad" || (precise !== undefined && precise < 0) ? undefined : precise,
        });
      length += one.length;
      if (length > most) throw new Error(`more than ${most} characters`);
      return one;
    },
  );
  if (used >= values.length) return text;
  const extra = values.slice(used).map((value) => (value === null ? "<nil>" : `${typeOf(value)}=${textOf(value)}`));
  return `${text}%!(EXTRA ${extra.join(", ")})`;
}

function formatOne(value: Value, spec: Verb): string {
  const { verb } = spec;
  if (verb === "T") return padded(typeOf(value), spec);
  if (value === null) return verb === "v" ? padded("<nil>", spec) : `%!${verb}(<nil>)`;
  const parts = composed(value, (part) => formatOne(part, spec));
  if (parts !== undefined) return parts;
  const bad = `%!${verb}(${typeOf(value)}=${textOf(value)})`;
  if (typeof value === "boolean") return verb === "t" || verb === "v" ? padded(String(value), spec) : bad;
  if (typeof value === "string") return stringAs(value, spec) ?? bad;
  if (typeof value === "bigint") return integerAs(value, spec) ?? bad;
  return floatAs(value as number, spec) ?? bad;
}

function padded(text: string, { width, flags }: Verb, isNumber = false): string {
  const missing = (width ?? 0) - [...text].length;
  if (missing <= 0) return text;
  if (flags.includes("-")) return text + " ".repeat(missing);
  if (!flags.includes("0")) return " ".repeat(missing) + text;
  const sign = isNumber && /^[-+ ]/.test(text) ? text.slice(0, 1) : "";
  return sign + "0".repeat(missing) + text.slice(sign.length);
}

function stringAs(value: string, spec: Verb): string | undefined {
  const { verb, precision, flags } = spec;
  const cut = precision === undefined ? value : [...value].slice(0, precision).join("");
  if (verb === "s" || (verb === "v" && !flags.includes("#"))) return padded(cut, spec);
  if (verb === "q" || verb === "v") return padded(quoted(cut), spec);
  if (verb !== "x" && verb !== "X") return undefined;
  const hex = Array.from(new TextEncoder().encode(value), (byte) => byte.toString(16).padStart(2, "0"));
  const text = hex.slice(0, precision).join(flags.includes(" ") ? " " : "");
  return padded(verb === "X" ? text.toUpperCase() : text, spec);
}

/** As a string of Go's source. */
export function quoted(text: string): string {
  const special: Record<string, string> = { "\x07": "\\a", "\v": "\\v", "\b": "\\b", "\f": "\\f" };
  const escaped = text.replaceAll(/["\\]|[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (/["\\\n\r\t]/.test(character)) return JSON.stringify(character).slice(1, -1);
    const short = special[character];
    if (short !== undefined) return short;
    if (code < 0x80) return `\\x${code.toString(16).padStart(2, "0")}`;
    return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
  return `"${escaped}"`;
}

const BASES: Record<string, number> = { d: 10, v: 10, b: 2, o: 8, O: 8, x: 16, X: 16 };
const PREFIXES: Record<string, string> = { b: "0b", o: "0", x: "0x", X: "0X" };

function integerAs(value: bigint, spec: Verb): string | undefined {
  const { verb, flags, precision } = spec;
  const code = value >= 0n && value <= 0x10ffffn ? Number(value) : 0xfffd;
  if (verb === "c") return padded(String.fromCodePoint(code), spec);
  if (verb === "q") return padded(`'${quoted(String.fromCodePoint(code)).slice(1, -1)}'`, spec);
  if (verb === "U") return padded(`U+${BigInt.asUintN(64, value).toString(16).toUpperCase().padStart(4, "0")}`, spec);
  const base = Object.hasOwn(BASES, verb) ? BASES[verb] : undefined;
  if (base === undefined) return undefined;
  let digits = (value < 0n ? -value : value).toString(base).padStart(precision ?? 0, "0");
  if (precision === 0 && value === 0n) digits = "";
  const prefix = verb === "O" ? "0o" : flags.includes("#") ? (PREFIXES[verb] ?? "") : "";
  if (verb === "X") digits = digits.toUpperCase();
  const text = signOf(value < 0n, flags) + prefix + digits;
  return padded(text, precision === undefined ? spec : { ...spec, flags: flags.replaceAll("0", "") }, true);
}

const signOf = (isNegative: boolean, flags: string) =>
  isNegative ? "-" : flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";

function floatAs(value: number, spec: Verb): string | undefined {
  const { verb, flags, precision } = spec;
  const kind = verb === "v" ? "g" : verb === "F" ? "f" : verb.toLowerCase();
  if (kind !== "e" && kind !== "f" && kind !== "g") return undefined;
  const digits = floatText(Math.abs(value), kind, kind === "g" ? precision : (precision ?? 6));
  const text =
    signOf(value < 0 || Object.is(value, -0), flags) + (verb === "E" || verb === "G" ? digits.toUpperCase() : digits);
  return padded(text, spec, true);
}

/** Without a precision: as many digits as tell it from its neighbours. */
function floatText(value: number, kind: "e" | "f" | "g", precision?: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
  const digits = precision === undefined ? undefined : Math.min(precision, ALL);
  if (kind === "f" && value >= 1e21) return BigInt(value) + (digits === 0 ? "" : `.${"0".repeat(digits ?? 6)}`);
  if (kind === "f") return halfToEven(value.toFixed(ALL), value.toFixed(digits ?? 6));
  const exponential = (fraction: number | undefined) => {
    const rounded = value.toExponential(fraction);
    const even = fraction === undefined ? rounded : halfToEven(value.toExponential(ALL), rounded);
    return even.replace(/e([+-])(\d)$/, "e$10$2");
  };
  if (kind === "e") return exponential(digits);
  const significant = digits === undefined ? undefined : Math.max(digits, 1);
  const scientific = exponential(significant === undefined ? undefined : significant - 1);
  const exponent = Number(scientific.slice(scientific.indexOf("e") + 1));
  const shortest = scientific.slice(0, scientific.indexOf("e")).replace(/[-.]/g, "").length;
  if (exponent < -4 || exponent >= (significant ?? 6)) return scientific.replace(/\.?0+e/, "e");
  const plain = value.toFixed(Math.min(ALL, Math.max(0, (significant ?? shortest) - 1 - exponent)));
  return plain.includes(".") ? plain.replace(/\.?0+$/, "") : plain;
}

/** JavaScript rounds what is exactly between two up, Go to the even one. @param exact all digits @param rounded as JavaScript has it */
function halfToEven(exact: string, rounded: string): string {
  const power = /e.*$/.exec(exact)?.[0] ?? "";
  const point = rounded.replace(/e.*$/, "").indexOf(".");
  const digits = point < 0 ? 0 : rounded.replace(/e.*$/, "").length - point - 1;
  const [, whole = "", kept = "", rest = ""] = new RegExp(`^(\\d+)\\.(\\d{${digits}})(\\d*)`).exec(exact) ?? [];
  const isTie = /^50*$/.test(rest) && /[02468]$/.test(whole + kept);
  return isTie ? `${whole}${digits === 0 ? "" : `.${kept}`}${power}` : rounded;
}
