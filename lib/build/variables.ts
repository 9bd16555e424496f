/**
 * Variables of a Dockerfile: build arguments and the environment, and which of them counts where.
 * @module
 * @see https://docs.docker.com/reference/dockerfile/#arg
 */
import type { Pair } from "../dockerfile/index.ts";
import type { Platform } from "../image/index.ts";

/** Known to RUN without being declared, and no part of what is made. */
const PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
export const isProxy = (name: string): boolean => PROXIES.includes(name.toUpperCase());
/** Of the build itself, declared or not. */
const isKnown = (name: string): boolean =>
  isProxy(name) || name === "SOURCE_DATE_EPOCH" || name.startsWith("BUILDKIT_");

/** Those that a build has by itself. @param stage what was asked for */
export function ownArguments(build: Platform, target: Platform, stage = "default"): Map<string, string> {
  const all = new Map([["TARGETSTAGE", stage]]);
  for (const [prefix, { os, architecture, variant = "" }] of [["BUILD", build] as const, ["TARGET", target] as const]) {
    all.set(`${prefix}PLATFORM`, [os, architecture, ...(variant === "" ? [] : [variant])].join("/"));
    all.set(`${prefix}OS`, os);
    all.set(`${prefix}OSVERSION`, "");
    all.set(`${prefix}ARCH`, architecture);
    all.set(`${prefix}VARIANT`, variant);
  }
  return all;
}

/** What was given for the build, and which of it somebody has asked for. */
export class Arguments {
  readonly #given: Readonly<Record<string, string>>;
  readonly #used = new Set<string>();

  constructor(given: Readonly<Record<string, string>>) {
    this.#given = given;
  }

  take(name: string): string | undefined {
    if (!Object.hasOwn(this.#given, name)) return undefined;
    this.#used.add(name);
    return this.#given[name];
  }

  /** Those that nobody has declared. */
  get unused(): string[] {
    return Object.keys(this.#given).filter((name) => !this.#used.has(name) && !isKnown(name));
  }
}

/** Of a stage, or of what stands before the first. */
export class Variables {
  readonly #arguments: Arguments;
  /** What `ARG NAME` alone means: the global ones, those of the platform. */
  readonly #outer: ReadonlyMap<string, string>;
  /** Declared; undefined: without a value. */
  readonly #declared: Map<string, string | undefined>;
  #env: ReadonlyMap<string, string> = new Map();

  constructor(given: Arguments, outer: ReadonlyMap<string, string>, declared: Variables | undefined = undefined) {
    this.#arguments = given;
    this.#outer = outer;
    this.#declared = new Map(declared ? declared.#declared : []);
  }

  /** @param value the default, expanded */
  declare(name: string, value: string | undefined): void {
    const found = this.#arguments.take(name) ?? value ?? this.#outer.get(name) ?? this.#declared.get(name);
    this.#declared.set(name, found);
  }

  /** Lines of a config. */
  set env(lines: readonly string[]) {
    this.#env = new Map(
      lines.map((line) => {
        const at = line.indexOf("=");
        return at < 0 ? ([line, ""] as const) : ([line.slice(0, at), line.slice(at + 1)] as const);
      }),
    );
  }

  /** The environment counts before arguments. */
  readonly valueOf = (name: string): string | undefined => this.#env.get(name) ?? this.#declared.get(name);

  /** Declared, or of the environment; it may have no value. */
  has(name: string): boolean {
    return this.#declared.has(name) || this.#env.has(name);
  }

  /** All that is declared and has a value, but for what the environment has. */
  get declared(): Pair[] {
    return [...this.#declared].flatMap(([name, value]): Pair[] =>
      value === undefined || this.#env.has(name) ? [] : [[name, value]],
    );
  }

  /** What a process finds: later ones count. */
  get all(): Pair[] {
    return [...this.declared, ...this.#env];
  }

  get values(): Map<string, string> {
    return new Map(this.declared);
  }
}
