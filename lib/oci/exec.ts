/**
 * `exec`: a further process in a container that runs.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { ARCH, Descriptors, Program, TsboxError } from "../../syscalls/index.ts";
import { bindPassing, bury, factsFor, startImage, type Launched } from "../launch/index.ts";
import { compileExec, isAsked, type StartableSpec } from "../plan/index.ts";
import { openCgroup } from "./cgroup.ts";
import { waitForChild } from "./child.ts";
import { bindConsole, checkConsole, isPiped, joinConsole } from "./console.ts";
import { Container } from "./container.ts";
import { execProcess } from "./exec-process.ts";
import { isRunning } from "./init-process.ts";
import { joinIntelRdt } from "./intel-rdt.ts";
import { labelFacts } from "./labels.ts";
import { connectAgent, passListener } from "./listener.ts";
import type { CgroupRecord } from "../cgroup/index.ts";
import type { Logger } from "./log.ts";
import type { ContainerRecord } from "./record.ts";
import { sendPidfd, writePidFile } from "./pid-file.ts";
import { specOf } from "./start-frame.ts";
import { raiseLimits } from "./rlimits.ts";
import { keepOpen } from "./preserved.ts";
import { traceAffinity, traceChild, traceJoined, tracePlan } from "./trace.ts";
import type { ExecOptions, Runtime } from "./runtime.ts";

/** @returns the exit status of the process; 0 where it is detached */
export async function exec(runtime: Runtime, id: string, options: ExecOptions): Promise<number> {
  const preserveFds = keepOpen(options.preserveFds, runtime.log);
  using container = Container.open(runtime, id);
  const status = await container.status();
  const refused = (why: string) => new TsboxError(`exec in container "${id}": ${why}`, { code: "container_state" });
  if (status === "stopped" || status === "creating") throw refused("cannot exec in a stopped container");
  if (status === "paused" && !options.ignorePaused)
    throw refused("cannot exec in a paused container (use --ignore-paused to override)");
  const config = specOf(container);
  const spec = { ...config, process: execProcess(container.record.rootfs, config.process, options, runtime.log) };
  raiseLimits(spec.process);
  checkConsole(spec.process.terminal, options.detach, options.consoleSocket);
  const launched = launch(container, spec, { ...options, preserveFds });
  const { cloned, failure } = await launched.control.ended;
  await bury(launched);
  if (failure) {
    // or the container's pid namespace would wait for somebody who does
    if (cloned !== undefined) await waitForChild(cloned);
    throw failure.errno === EBUSY ? busy(id) : failure;
  }
  if (cloned === undefined) throw refused("the process ended before it could say why");
  traceChild(runtime.log, cloned);
  traceJoined(runtime.log, spec.process.args);
  if (options.pidfdSocket !== undefined) sendPidfd(options.pidfdSocket, cloned);
  if (options.pidFile !== undefined) writePidFile(options.pidFile, cloned);
  if (options.detach) return 0;
  const joined = spec.process.terminal && launched.passed ? joinConsole(launched.passed) : undefined;
  const ended = await waitForChild(cloned);
  await joined;
  return ended;
}

const EBUSY = 16;

/** In runc's words. */
const busy = (id: string) =>
  new TsboxError(`exec in container "${id}": adding pid of a new process to cgroups: EBUSY`, {
    code: "limit_unavailable",
    errno: EBUSY,
    hint: "the container limits groups below this one, so that it can have no processes: name one of those",
  });

function launch(container: Container, spec: StartableSpec, options: ExecOptions): Launched {
  using opened = new Descriptors();
  const { record } = container;
  const group = record.cgroup && joined(record.cgroup, container.runtime.log).below(options.subCgroups, record.pid);
  const bound: Record<string, number> = { container: openProcess(record, opened), stdin: 0, stdout: 1, stderr: 2 };
  Object.assign(bound, group?.open(opened));
  const membership = joinIntelRdt(record.intelRdt, group?.membership ?? NO_MEMBERSHIP, bound, opened);
  const facts = {
    ...factsFor({ ...spec, mounts: [], linux: { namespaces: [] } }, membership),
    ...labelFacts(spec, container.runtime.log),
  };
  const plan = compileExec(spec, options.preserveFds, facts, isPiped(options.consoleSocket));
  tracePlan(container.runtime.log, plan, spec);
  traceAffinity(container.runtime.log, spec.process.execCPUAffinity?.initial);
  const terminal = spec.process.terminal ? bindConsole(bound, opened, options.consoleSocket) : undefined;
  if (!isAsked(spec)) return startImage({ plan, program: new Program(plan, ARCH) }, bound, opened, terminal);
  const passed: Record<string, number> = {};
  const ours = bindPassing(passed, opened);
  bound["listener-socket"] = passed["pass-socket"] as number;
  const { seccomp } = spec.linux;
  const agent = connectAgent(seccomp?.listenerPath ?? "");
  const taken = (fd: number) => passListener(fd, agent, seccomp, container.state("running"));
  return startImage({ plan, program: new Program(plan, ARCH) }, bound, opened, ours, undefined, taken);
}

/** A pidfd of the container's process, and of no other that has its number by now. */
function openProcess(record: ContainerRecord, opened: Descriptors): number {
  const pidfd = opened.add(sys.openPidfd(record.pid));
  if (isRunning(record)) return pidfd;
  throw new TsboxError(`exec in container "${record.id}": cannot exec in a stopped container`, {
    code: "container_state",
  });
}

const NO_MEMBERSHIP = { tasks: 0, into: false };

/** A process can join the groups of a scope by itself: only to make the scope is systemd's. */
const joined = (record: CgroupRecord, log: Logger) => openCgroup({ ...record, unit: undefined }, log);
