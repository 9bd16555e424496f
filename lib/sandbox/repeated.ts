/**
 * Requests that are made again: servers ask for the same sandbox thousands of times. What a request comes to is kept
 * where it follows from the request alone, and from what is asked anew each time.
 * @module
 */
import { effectiveGid, effectiveUid } from "../../syscalls/index.ts";
import type { Root } from "../plan/index.ts";
import type { SecurityOptions } from "./options.ts";
import { rootOf, specFor, type Requested } from "./request.ts";
import type { Request } from "./stacked-root.ts";

/** A request may hold secrets, such as variables: no more are kept than there are layouts. */
const KEPT = 16;
const kept = new Map<string, Requested>();

/**
 * The same as {@link specFor}; what is kept is frozen, and has nothing in it that is the caller's.
 * @throws TsboxError as that
 */
export function requestedFor(args: string[], request: Request): Requested {
  const key = keyOf(args, request);
  if (key === undefined) return specFor(args, request);
  const known = kept.get(key);
  // a wrong request is not kept: what is wrong now is the root filesystem
  if (known && isSame(rootOf(request, false).root, known.beside.root)) return known;
  const made = freeze(specFor([...args], request));
  if (!known && kept.size >= KEPT) kept.delete(kept.keys().next().value as string);
  kept.set(key, made);
  return made;
}

/** A view of the host is taken anew now and then. */
const isSame = (now: Root, then: Root): boolean =>
  now.kind === "tmpfs" ? then.kind === "tmpfs" && now.entries === then.entries : now.kind === then.kind;

/** Options that no specification has. */
const ELSEWHERE = new Set(["stdin", "stdout", "stderr", "signal"]);
/** Those that say all themselves, as long as there are no objects in them: of others, files are looked at. */
const PLAIN = new Set(["hostname", "cwd", "env", "limits", "ulimits", "umask", "shmSize"]);

/** The request as text; undefined where that does not say all. */
function keyOf(args: string[], request: Request): string | undefined {
  if (!isPlain(request)) return undefined;
  let key = `${effectiveUid()}:${effectiveGid()}`;
  for (const arg of args) {
    if (typeof arg !== "string") return undefined;
    key += ` ${arg.length}:${arg}`;
  }
  for (const name of Reflect.ownKeys(request)) {
    if (typeof name !== "string") return undefined;
    if (ELSEWHERE.has(name)) continue;
    const text = textOf(name, request[name as keyof Request]);
    if (text === undefined) return undefined;
    key += `\n${name}=${text}`;
  }
  return key;
}

function textOf(name: string, value: unknown): string | undefined {
  if (PLAIN.has(name)) return plain(value, 1);
  switch (name) {
    case "rootfs":
      return typeof value === "string" && value.startsWith("/") ? plain(value, 0) : undefined;
    case "network":
      return value === "host" || value === false ? String(value) : undefined;
    case "security":
      // a profile is its owner's to change
      return typeof (value as SecurityOptions | null)?.seccomp === "object" ? undefined : plain(value, 2);
    case "mounts":
      return Array.isArray(value) && value.every(isTmpfs) ? plain(value, 2) : undefined;
    default:
      return undefined;
  }
}

const isTmpfs = (mount: unknown): boolean =>
  typeof mount === "object" && mount !== null && (mount as { type?: unknown }).type === "tmpfs";

/** @param depth of objects and arrays in each other */
function plain(value: unknown, depth: number): string | undefined {
  if (typeof value === "string") return `${value.length}:${value}`;
  // undefined is not the same as nothing everywhere
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "object" || value === null || depth === 0) return undefined;
  const isArray = Array.isArray(value);
  if (!isArray && !isPlain(value)) return undefined;
  let text = isArray ? "[" : "{";
  for (const key of Reflect.ownKeys(value)) {
    const content = typeof key === "string" ? plain((value as Record<string, unknown>)[key], depth - 1) : undefined;
    if (content === undefined) return undefined;
    text += `,${plain(key, 0)}=${content}`;
  }
  return `${text}}`;
}

/** Nothing of it is inherited. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function freeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value) || ArrayBuffer.isView(value)) return value;
  Object.values(value).forEach(freeze);
  return Object.freeze(value);
}
