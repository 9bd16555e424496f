/** Ways out of network namespaces, and into them: this program's end. @module */
import * as sys from "../../syscalls/index.ts";
import type { NetworkSocketName } from "../plan/index.ts";
import type { Question, Rules, Verdict } from "../policy/index.ts";
import { intercept, listSockets, NEAR } from "./intercept.ts";
import type {
  Denied,
  FromGateway,
  Target,
  ToGateway,
  Traffic,
  WayLimits,
  WaySettings,
  WaySockets,
} from "./messages.ts";
import { GatewayWorker } from "./worker.ts";

/** A denial, and how often. */
export type { Denied, Traffic, WayLimits } from "./messages.ts";

export interface GatewayOptions {
  /** What may be connected to. Without: everything but the host itself. */
  rules?: Rules | undefined;
  /** Unix sockets that are connected to in place of addresses. */
  handlers?: Record<string, string>;
  /** Decides what the rules do not. Without, that is denied. */
  ask?: ((question: Question) => Promise<Verdict>) | undefined;
  denied?: ((denials: Denied[]) => void) | undefined;
  limits?: WayLimits | undefined;
  /** What has gone in and out, every now and then, and before {@link Gateway.flush} and its end. */
  traffic?: ((traffic: Traffic) => void) | undefined;
  /** Descriptors of connections and flows at a time. @default 4096 */
  maxDescriptors?: number;
}

/** The way out of a namespace. */
export interface Gateway {
  /** From now on, and for what is connected already. */
  update(rules: Rules | undefined, handlers?: Record<string, string>, limits?: WayLimits): void;
  /** Waits until all that was denied has been told. */
  flush(): Promise<void>;
  /** Nothing goes out or comes in any more. Waits until all that was denied has been told. */
  end(): Promise<void>;
}

const MAX_DESCRIPTORS = 4096;
const BACKLOG = 4096;

/** No thread begins by itself sooner after the one before. */
const AGAIN_MS = 1000;

/** A way out, as a thread is told of it: another one carries on where one has died. */
interface Carried {
  options: GatewayOptions;
  sockets: WaySockets;
  settings: WaySettings;
  traffic?: Traffic;
  isEnding?: boolean;
}

interface OpenPort {
  make: () => number;
  publish: Extract<ToGateway, { kind: "publish" }>;
}

let worker: GatewayWorker | undefined;
const ways = new Map<number, Carried>();
/** Who waits for what one was told last. */
const waiting = new Map<number, (() => void)[]>();
const ports = new Map<number, OpenPort>();
let [lastWay, lastPort, begunAt] = [0, 0, 0];

/** The thread, begun by whoever needs it first. */
function thread(): GatewayWorker {
  if (worker) return worker;
  begunAt = performance.now();
  const begun = new GatewayWorker(
    (message) => take(message, begun),
    (why) => died(begun, why),
  );
  worker = begun;
  for (const [way, { sockets, settings, traffic }] of ways)
    begun.send({ kind: "attach", way, sockets, settings, before: traffic });
  for (const { publish } of ports.values()) begun.send(publish);
  return begun;
}

/** Nothing that was on its way is known any more. Sockets stay, at which all that is new is taken by the next one. */
function died(dead: GatewayWorker, why: string): void {
  worker = undefined;
  warn(`their thread has died, and what was connected broke off: ${why}`);
  for (const [way, { isEnding }] of ways) if (isEnding) ways.delete(way);
  const kept = [...ways.values()].flatMap(({ sockets }) => listSockets(sockets));
  dead.closeAllBut(new Set([...kept, ...[...ports.values()].map(({ publish }) => publish.listener)]));
  for (const all of waiting.values()) all.forEach((resolve) => resolve());
  waiting.clear();
  beginAgain();
}

function beginAgain(): void {
  const begin = () => {
    try {
      if (ways.size + ports.size > 0) thread();
    } catch (error) {
      warn(String(error));
      beginAgain();
    }
  };
  const timer = setTimeout(begin, Math.max(0, begunAt + AGAIN_MS - performance.now()));
  timer.unref?.();
}

/** The thread takes a while to begin, for which nobody has to wait. @throws TsboxError `unsupported` */
export const beginGateway = (): void => void thread();

/**
 * Everything that leaves a network namespace is connected to from here, where it may be.
 * @param sockets of the namespace, which are taken over
 * @throws TsboxError `unsupported`, `permission_denied`
 */
export function attachGateway(sockets: Record<NetworkSocketName, number>, options: GatewayOptions = {}): Gateway {
  beginGateway();
  const kept = intercept(sockets, familiesOfHost());
  const to = thread();
  const way = ++lastWay;
  const carried: Carried = { options, sockets: kept, settings: settingsOf(options) };
  ways.set(way, carried);
  to.send({ kind: "attach", way, sockets: kept, settings: carried.settings });
  let ended: Promise<void> | undefined;
  return {
    update(rules, handlers = {}, limits = options.limits) {
      if (ended) return;
      carried.settings = settingsOf({ ...options, rules, handlers, limits });
      thread().send({ kind: "update", way, settings: carried.settings });
    },
    end() {
      ended ??= untilDone("detach", way).then(() => void ways.delete(way));
      carried.isEnding = true;
      return ended;
    },
    flush: () => ended ?? untilDone("flush", way),
  };
}

function untilDone(kind: "detach" | "flush", way: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  // the program is not to end before
  if (waiting.size === 0) thread().ref(true);
  waiting.set(way, [...(waiting.get(way) ?? []), resolve]);
  thread().send({ kind, way });
  return promise;
}

function done(way: number): void {
  const [first, ...others] = waiting.get(way) ?? [];
  if (others.length > 0) waiting.set(way, others);
  else waiting.delete(way);
  if (waiting.size === 0) worker?.ref(false);
  first?.();
}

/** A port that leads into a namespace. */
export interface Port {
  end(): void;
}

/**
 * Connects what comes to a socket to a port inside.
 * @param listener listens for TCP, or at a Unix socket; or is a bound one of UDP. It is taken over
 * @param make an unconnected socket of the namespace, of the same protocol; or -errno
 */
export function openPort(listener: number, target: Target, make: () => number, protocol: "tcp" | "udp" = "tcp"): Port {
  sys.setNonBlocking(listener);
  // who connects to a Unix socket does not wait for a place
  sys.listenSocket(listener, BACKLOG);
  const to = thread();
  const port = ++lastPort;
  const publish = { kind: "publish", port, protocol, listener, target } as const;
  ports.set(port, { make, publish });
  to.send(publish);
  return {
    end() {
      if (!ports.delete(port)) return;
      // nobody is let in from now on; the thread closes it in its time
      sys.shutdownSocket(listener, sys.SHUT_RDWR);
      if (worker) worker.send({ kind: "unpublish", port });
      else sys.close(listener);
    },
  };
}

export const settingsOf = ({
  rules,
  handlers = {},
  maxDescriptors = MAX_DESCRIPTORS,
  limits,
}: GatewayOptions): WaySettings => ({
  rules,
  handlers,
  answersNames: true,
  near: NEAR,
  maxDescriptors,
  ...(limits && { limits }),
});

/** Those by which the host reaches anybody. */
export function familiesOfHost(): (4 | 6)[] {
  const routes = sys.readKernelFile("/proc/net/ipv6_route") ?? "";
  const isDefault = (line: string) => /^0{32} 00 /.test(line) && !line.trim().endsWith(" lo");
  return routes.split("\n").some(isDefault) ? [4, 6] : [4];
}

function take(message: FromGateway, from: GatewayWorker): void {
  switch (message.kind) {
    case "ask":
      return void answer(message, from);
    case "denied":
      return ways.get(message.way)?.options.denied?.(message.denials);
    case "traffic":
      return count(message);
    case "done":
      return done(message.way);
    case "wanted":
      return fill(message.port, message.count);
    case "failed":
      return warn(message.message);
  }
}

const warned = new Set<string>();
const MAX_WARNINGS = 10;

/** A mistake of tsbox's: what a sandbox sends is to end nobody's program. */
function warn(message: string): void {
  if (warned.has(message) || warned.size >= MAX_WARNINGS) return;
  warned.add(message);
  process.emitWarning(`carry connections: ${message}`, "TsboxWarning");
}

type Told<Kind extends FromGateway["kind"]> = Extract<FromGateway, { kind: Kind }>;

function count({ way, traffic }: Told<"traffic">): void {
  const carried = ways.get(way);
  if (!carried) return;
  carried.traffic = traffic;
  carried.options.traffic?.(traffic);
}

async function answer({ way, question, asked }: Told<"ask">, from: GatewayWorker): Promise<void> {
  const denied: Verdict = { allowed: false, rule: "connect: nobody answers" };
  const verdict =
    (await ways
      .get(way)
      ?.options.ask?.(asked)
      .catch(() => denied)) ?? denied;
  // the number is another question's to the next one, if that which has asked has died
  if (ways.has(way) && from === worker) from.send({ kind: "answer", way, question, verdict });
}

function fill(port: number, count: number): void {
  const opened = ports.get(port);
  if (!opened) return;
  const fds = Array.from({ length: count }, opened.make).filter((fd) => fd >= 0);
  thread().send({ kind: "sockets", port, fds });
}
