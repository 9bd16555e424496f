/**
 * `create`: everything of a container but its command, which waits to be started.
 * @module
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.2.0/runtime.md#create
 */
import * as sys from "../../syscalls/index.ts";
import { ARCH, Descriptors, elfImage, Program, TsboxError } from "../../syscalls/index.ts";
import type { ContainerCgroup } from "../cgroup/index.ts";
import { bindControl, bury, factsFor, kill, start, type Control, type Launched } from "../launch/index.ts";
import { compileContainer, startsHooks, type ContainerBeside, type StartableSpec } from "../plan/index.ts";
import type { OwnedPlan } from "../plan/index.ts";
import { delegateCgroup, planCgroup, withGroups } from "./cgroup.ts";
import { readConfig } from "./config.ts";
import { bindConsole, checkConsole, isPiped } from "./console.ts";
import { Container, START_SOCKET, WAITING } from "./container.ts";
import { detachMounts, mountIdOf } from "./host-mounts.ts";
import { runHooks } from "./hooks.ts";
import { startTimeOf } from "./init-process.ts";
import { withNotifySocket } from "./notify-socket.ts";
import { joinIntelRdt, makeIntelRdt, planIntelRdt, removeIntelRdt } from "./intel-rdt.ts";
import { labelFacts } from "./labels.ts";
import { moveNetDevices } from "./net-devices.ts";
import { sendPidfd, writePidFile } from "./pid-file.ts";
import { keepOpen } from "./preserved.ts";
import { RECORD_VERSION, type ContainerRecord } from "./record.ts";
import { raiseLimits } from "./rlimits.ts";
import { startable } from "./startable.ts";
import { traceChild, tracePlan, traceReady } from "./trace.ts";
import type { CreateOptions, Runtime } from "./runtime.ts";

/** @throws TsboxError `container_exists`, `invalid_option`, `hook_failed`, … */
export async function create(runtime: Runtime, id: string, options: CreateOptions): Promise<void> {
  const { container } = await createContainer(runtime, id, options, true);
  container[Symbol.dispose]();
}

/** What has been created, while its lock is still held. */
export interface Created {
  container: Container;
  launched: Launched;
  spec: StartableSpec;
}

/** @param detached nobody of this process's waits for it */
export async function createContainer(
  runtime: Runtime,
  id: string,
  options: CreateOptions,
  detached: boolean,
): Promise<Created> {
  const preserved = keepOpen(options.listenFds + options.preserveFds, runtime.log);
  const { spec: config, text, warnings } = readConfig(options.bundle);
  for (const warning of warnings) runtime.log.warn(warning);
  const container = Container.reserve(runtime, id);
  let cgroup: ContainerCgroup | undefined;
  let saved: ContainerRecord | undefined;
  try {
    const spec = withNotifySocket(container, startable(config, options), options);
    checkConsole(spec.process.terminal, detached, options.consoleSocket);
    raiseLimits(spec.process);
    container.config = text;
    cgroup = await planCgroup(runtime, id, spec);
    saved = recordOf(container, spec, options, cgroup);
    container.save(saved);
    if (saved.intelRdt) makeIntelRdt(saved.intelRdt, spec.linux.intelRdt ?? {});
    const launched = await make(container, spec, cgroup, { ...options, preserved });
    return { container, launched, spec };
  } catch (error) {
    if (saved) detachMounts(saved);
    if (saved?.intelRdt) removeIntelRdt(saved.intelRdt);
    await cgroup?.remove();
    container.remove();
    container[Symbol.dispose]();
    throw error;
  }
}

function recordOf(
  { id, runtime }: Container,
  spec: StartableSpec,
  { bundle }: CreateOptions,
  { record: cgroup }: ContainerCgroup,
): ContainerRecord {
  const { annotations, hooks = {}, linux } = spec;
  const { poststart, poststop } = hooks;
  return {
    version: RECORD_VERSION,
    id,
    ociVersion: spec.ociVersion,
    bundle,
    rootfs: spec.root.path,
    ...(annotations && { annotations }),
    created: now(),
    owner: sys.effectiveUid(),
    stage: "creating",
    pid: 0,
    pidStartTime: "0",
    steps: 0,
    ...(spec.process.args.length === 0 && { idle: true }),
    ...(!spec.linux.namespaces.some(({ type }) => type === "mount") && { mountBefore: mountIdOf(spec.root.path) }),
    sharesPids: !spec.linux.namespaces.some(({ type, path }) => type === "pid" && path === undefined),
    cgroup,
    ...(linux.seccomp?.listenerPath !== undefined && { agent: linux.seccomp.listenerPath }),
    ...(linux.intelRdt && { intelRdt: planIntelRdt(linux.intelRdt, id) }),
    systemdCgroup: runtime.systemdCgroup,
    rootless: runtime.rootless,
    ...((poststart ?? poststop) && { hooks: { ...(poststart && { poststart }), ...(poststop && { poststop }) } }),
  };
}

/** RFC 3339, with nanoseconds. */
function now(): string {
  const ms = performance.timeOrigin + performance.now();
  const ns = Math.floor((ms % 1000) * 1e6);
  return `${new Date(ms).toISOString().slice(0, -4)}${String(ns).padStart(9, "0")}Z`;
}

/** With how many descriptors from 3 on are the command's. */
type MakeOptions = CreateOptions & { preserved: number };

/** Once it waits to be started. */
async function make(
  container: Container,
  spec: StartableSpec,
  cgroup: ContainerCgroup,
  options: MakeOptions,
): Promise<Launched> {
  if (!cgroup.isMoved) await makeGroups(container, cgroup, spec);
  using kept = new Descriptors();
  const { launched, state } = launch(container, spec, cgroup, options, kept);
  try {
    const { pid, steps } = launched;
    traceChild(container.runtime.log, pid);
    container.save({ ...container.record, pid, pidStartTime: startTimeOf(pid) ?? "0", steps });
    if (state !== undefined) sys.write(state, encode(container.state("created")));
    const { ready, failure } = await Promise.race([launched.control.told, launched.broken]);
    if (failure) throw failure;
    if (!ready)
      throw new TsboxError(`create container "${container.id}": its process ended before it could say why`, {
        code: "system",
        ...(spec.linux.resources?.memory?.limit !== undefined && { hint: "is its memory limit too low?" }),
      });
    traceReady(container.runtime.log);
    finish(container, launched.pid, options);
    launched.control.send(GO);
    launched.release();
    return launched;
  } catch (error) {
    kill(launched);
    await bury(launched);
    throw error;
  }
}

/** Ends as runc says it. */
const UNBOUND =
  "a container without a cgroup, and without a pid namespace of its own: what outlives its first process is neither " +
  "found nor killed. Such configuration is strongly discouraged";

async function makeGroups(
  container: Container,
  cgroup: ContainerCgroup,
  spec: StartableSpec,
  pid?: number,
): Promise<void> {
  await cgroup.make(spec.linux.resources ?? {}, pid);
  container.save({ ...container.record, cgroup: cgroup.record });
  const isWithout = Object.keys(cgroup.record.paths).length === 0;
  if (isWithout) container.runtime.log.debug("without a cgroup: this user may not make one");
  if (isWithout && container.record.sharesPids) container.runtime.log.warn(UNBOUND);
  delegateCgroup(cgroup, spec);
}

function finish(container: Container, pid: number, { pidFile, pidfdSocket }: CreateOptions): void {
  container.save({ ...container.record, stage: "created" });
  if (pidfdSocket !== undefined) sendPidfd(pidfdSocket, pid);
  if (pidFile !== undefined) writePidFile(pidFile, pid);
}

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** With what goes wrong while this process does something for the new one. */
type Broken = Launched & { broken: Promise<never>; steps: number };

function launch(
  container: Container,
  spec: StartableSpec,
  cgroup: ContainerCgroup,
  options: MakeOptions,
  kept: Descriptors,
): { launched: Broken; state: number | undefined } {
  // closed as soon as it has them: its end of the socket has to be its alone, so that an end of file tells of its own
  using opened = new Descriptors();
  const { id } = container;
  const { bundle, pivot, newKeyring: keyring, preserved, consoleSocket } = options;
  const given = spec.process.terminal ? [] : givenTo(spec.process.user.uid);
  const piped = isPiped(consoleSocket);
  const beside: ContainerBeside = { id, bundle, moved: cgroup.isMoved, preserved, pivot, keyring, given, piped };
  const bound: Record<string, number> = { stdin: stdio(0), stdout: stdio(1), stderr: stdio(2) };
  Object.assign(bound, cgroup.open(opened));
  const membership = joinIntelRdt(container.record.intelRdt, cgroup.membership, bound, opened);
  const machine = { ...factsFor(unmasked(spec), membership), ...labelFacts(spec, container.runtime.log) };
  const compiled = compileContainer(spec, beside, withGroups(machine, cgroup));
  tracePlan(container.runtime.log, compiled.plan, spec);
  bound["start"] = opened.add(sys.listenIn(container.directory.fd, START_SOCKET));
  const state = startsHooks(spec.hooks ?? {}) ? kept.add(sys.memoryFile("state")) : undefined;
  if (state !== undefined) bound["state"] = state;
  const passSocket = spec.process.terminal ? bindConsole(bound, opened, consoleSocket) : undefined;
  const control = bindControl(bound, opened);
  bound["command-image"] = opened.add(waitingImage(compiled, 3 + preserved));
  const { promise: broken, reject } = Promise.withResolvers<never>();
  const answer = answering(container, spec, cgroup);
  const reached = (told: Control) => void answer().then(() => told.send(GO), reject);
  const program = new Program(compiled.plan, ARCH);
  const launched = start({ compiled, program }, bound, control, compiled.plan, { passSocket, reached });
  return { launched: { ...launched, broken, steps: compiled.plan.length }, state };
}

const GO = 1;

const waitingImage = ({ plan }: OwnedPlan, control: number): number =>
  sys.sealedFile(WAITING, elfImage(new Program(plan, ARCH, "image"), {}, control), 0o111);

/** What is done for the process each time that it waits: it is moved to its cgroups, then come network devices and hooks. */
function answering(container: Container, spec: StartableSpec, cgroup: ContainerCgroup): () => Promise<void> {
  const { prestart, createRuntime } = spec.hooks ?? {};
  const turns = [
    ...(cgroup.isMoved ? [async () => makeGroups(container, cgroup, spec, container.record.pid)] : []),
    async () => {
      const { netDevices } = spec.linux;
      if (netDevices) moveNetDevices(netDevices, container.record.pid);
      // as it was before there was another status for it, by which those that are left know their state
      await runHooks("prestart", prestart, container.state("created"));
      await runHooks("createRuntime", createRuntime, container.state("creating"));
    },
  ];
  return async () => turns.shift()?.();
}

/** What is covered is looked at inside. */
const unmasked = (spec: StartableSpec): StartableSpec => ({
  ...spec,
  linux: { ...spec.linux, maskedPaths: [], readonlyPaths: [] },
});

/** /dev/null is everybody's. */
function givenTo(uid: number): ContainerBeside["given"] {
  if (uid === 0) return [];
  const names = ["stdin", "stdout", "stderr"] as const;
  return names.flatMap((stream, fd) => {
    const [S_IFMT, S_IFCHR, MEM_MAJOR] = [0o170000, 0o020000, 1];
    const status = sys.statFile(`/proc/self/fd/${fd}`);
    const isDevice = status !== undefined && (status.mode & S_IFMT) === S_IFCHR;
    // /dev/null and the like belong to everybody, by whatever path they were opened
    return isDevice && status.special.major === MEM_MAJOR ? [] : [{ stream, group: !isDevice }];
  });
}

/** -1 where it is closed. */
function stdio(fd: number): number {
  const F_GETFD = 1;
  return sys.trySyscall("fcntl", fd, F_GETFD) < 0 ? -1 : fd;
}
