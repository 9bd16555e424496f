/**
 * Starts the processes of sandboxes: what each plan finds bound.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { ARCH, Descriptors, Program, TsboxError } from "../../syscalls/index.ts";
import type { Cgroup } from "../cgroup/index.ts";
import { bindControl, bindPassing, factsFor, start, startImage, type Control, type Launched } from "../launch/index.ts";
import { compileTake, holdSteps, initSteps, listens, relaySteps, type Beside, type InitKind } from "../plan/index.ts";
import { NETWORK_SOCKETS, ONE_SOCKET, volumeSlot, type JoinKind, type NetworkSocketName } from "../plan/index.ts";
import type { Spec } from "../spec/index.ts";
import { claimIdRange } from "./id-range.ts";
import { KeptImage } from "./kept-image.ts";
import { layOut, layOutJoin, type Layout } from "./layout.ts";
import { mapsFrom } from "./namespaces.ts";
import type { Volume } from "./volume.ts";

/** Descriptors for the command; -1 is /dev/null. They stay the caller's. */
export interface Stdio {
  stdin: number;
  stdout: number;
  stderr: number;
}

/**
 * Starts a fresh sandbox, in place.
 * @param layout the benchmark passes one that it has put clocks into
 * @throws TsboxError what the owner's steps come to; the rest is told over the socket
 */
export function launch(
  spec: Spec,
  beside: Beside,
  stdio: Stdio,
  cgroup: Cgroup,
  layout?: Layout,
  volumes: Volumes = NO_VOLUMES,
  network?: Networking,
): Launched {
  if (!beside.ownIds) return launchMapped(spec, beside, stdio, cgroup, layout, volumes, network);
  const range = claimIdRange();
  try {
    const mapped = { ...spec, linux: { ...spec.linux, ...mapsFrom(range.hostID) } };
    const launched = launchMapped(mapped, beside, stdio, cgroup, layout, volumes, network);
    const gone = () => {
      launched.gone?.();
      range.release();
    };
    return { ...launched, gone };
  } catch (error) {
    range.release();
    throw error;
  }
}

/** Control groups that a process joins by itself. */
export type Joinable = Pick<Cgroup, "membership" | "open">;

/** By their mount points. */
export type Volumes = ReadonlyMap<string, Volume>;
const NO_VOLUMES: Volumes = new Map();

function launchMapped(
  spec: Spec,
  beside: Beside,
  stdio: Stdio,
  cgroup: Cgroup,
  layout: Layout | undefined,
  volumes: Volumes,
  network: Networking | undefined,
): Launched {
  using opened = new Descriptors();
  const made = layout ?? layOut(spec, beside, factsFor(spec, cgroup.membership));
  // whoever puts it into networks again looks into it
  const isReached = beside.sockets === "one" || made.compiled.init === "idle";
  const init = initImage(made.compiled.init, made.compiled.sized, opened, isReached);
  const images = { init, "command-image": made.commandImage?.descriptor(opened) ?? -1 };
  const bound: Record<string, number> = { ...images, ...stdio };
  bindCgroup(bound, cgroup, opened);
  for (const [destination, volume] of volumes) bound[volumeSlot(destination)] = opened.add(volume.take());
  const control = bindControl(bound, opened);
  const isPassed = beside.root.kind === "overlay" && beside.root.passed === true;
  const passSocket = isPassed ? bindPassing(bound, opened) : bindTerminal(spec, bound, opened);
  const reached = beside.sockets && network ? bindNetwork(bound, opened, network, beside.sockets) : undefined;
  const layer = beside.root.kind === "overlay" ? beside.root.layer : undefined;
  const lock = layer === undefined ? undefined : lockLayer(layer);
  const gone = () => {
    reached?.gone();
    if (lock !== undefined) sys.close(lock);
  };
  try {
    return {
      ...start(made, bound, control, made.compiled.plan, {
        passSocket,
        reached: (told) => void reached?.reached(told),
      }),
      gone,
    };
  } catch (error) {
    gone();
    throw error;
  }
}

/** Makes the network ready, by sockets of it that become its own. @returns what ends it @throws TsboxError */
export type Networking = (sockets: Record<NetworkSocketName, number>) => (() => void) | Promise<() => void>;

function bindNetwork(
  bound: Record<string, number>,
  opened: Descriptors,
  network: Networking,
  which: NonNullable<Beside["sockets"]>,
) {
  const names = which === "all" ? NETWORK_SOCKETS : ONE_SOCKET;
  const [ours, theirs] = sys.socketPair();
  Object.assign(bound, { "network-owner": ours, "network-socket": opened.add(theirs) });
  let [end, open] = [() => {}, true];
  const close = () => {
    if (open) sys.close(ours);
    open = false;
  };
  const reached = async (control: Control) => {
    if (!open) return;
    try {
      const passed = sys.receiveDescriptors(ours, names.length);
      if (passed.length !== names.length)
        throw sys.systemError("take the sockets of the network", "recvmsg", -(passed[0] ?? 0));
      const made = await network(Object.fromEntries(names.map((name, index) => [name, passed[index]])) as never);
      // it has ended meanwhile
      if (!open) return made();
      end = made;
      sys.send(ours, Uint8Array.of(1));
    } catch (error) {
      control.fail(error as TsboxError);
    }
    close();
  };
  const gone = () => {
    close();
    end();
    end = () => {};
  };
  return { reached, gone };
}

/**
 * Starts a process that joins a sandbox, as an image: nothing of the owner's memory goes along.
 * @param sandbox a pidfd of its init
 * @param more descriptors that the kind needs
 */
export function join(
  spec: Spec,
  sandbox: number,
  stdio: Stdio,
  cgroup: Joinable,
  sized: boolean,
  kind: JoinKind = "command",
  more: Record<string, number> = {},
): Launched & { program: Program } {
  using opened = new Descriptors();
  const { plan, program } = layOutJoin(spec, cgroup.membership, sized, kind);
  const bound: Record<string, number> = { sandbox, ...stdio, ...more };
  bindCgroup(bound, cgroup, opened);
  const terminal = bindTerminal(spec, bound, opened);
  return { ...startImage({ plan, program }, bound, opened, terminal, spec.process.args), program };
}

/** Takes what is mounted at a path of a sandbox, which is passed to the owner as an open tree. */
export function take(spec: Spec, sandbox: number, path: string): Launched {
  using opened = new Descriptors();
  const plan = compileTake(spec, path);
  const bound: Record<string, number> = { sandbox };
  const passing = bindPassing(bound, opened);
  return startImage({ plan, program: new Program(plan, ARCH) }, bound, opened, passing);
}

/** Starts what waits at the listener of a filter, outside of every sandbox. */
export function startRelay(listener: number, socket: number): Launched {
  using opened = new Descriptors();
  [listener, socket].forEach((fd) => opened.add(fd));
  const plan = relaySteps();
  return startImage({ plan, program: new Program(plan, ARCH) }, { listener, socket }, opened, undefined);
}

/** Starts what holds the owner's ends of a command that is left alone. They stay the caller's as well. */
export function startHolder(terminal: number, socket: number): Launched {
  using opened = new Descriptors();
  const plan = holdSteps();
  return startImage({ plan, program: new Program(plan, ARCH) }, { terminal, socket }, opened, undefined);
}

function bindCgroup(bound: Record<string, number>, cgroup: Joinable, opened: Descriptors): void {
  Object.assign(bound, cgroup.open(opened));
}

/** What two overlays write at a time is undefined. Gone with this process, like the sandbox. */
export function lockLayer(layer: string): number {
  const fd = sys.open(layer, sys.O_RDONLY | sys.O_DIRECTORY);
  if (sys.lockFile(fd)) return fd;
  sys.close(fd);
  throw new TsboxError(`use the writableLayer "${layer}": another sandbox does`, { code: "mount_failed", path: layer });
}

function bindTerminal(spec: Spec, bound: Record<string, number>, opened: Descriptors): number | undefined {
  return spec.process.terminal || (spec.process.args.length > 0 && listens(spec))
    ? bindPassing(bound, opened)
    : undefined;
}

const images = new Map<string, KeptImage>();

/** One a kind for the life of this process. @param opened what is closed when it has been used */
export function initImage(
  kind: Exclude<InitKind, "outside">,
  sized: boolean,
  opened: Descriptors,
  joined = kind === "idle",
): number {
  const key = [kind, sized, joined].join();
  let image = images.get(key);
  if (!image) {
    const content = () => sys.elfImage(new Program(initSteps(kind, sized, true), ARCH));
    // what joins goes to its namespaces, for which it has to be looked into; nobody is there before it is hard
    images.set(key, (image = new KeptImage("tsbox-init", joined ? 0o777 : 0o111, content)));
  }
  return image.descriptor(opened);
}
