/** A further process in a container. @module */
import {
  close,
  Descriptors,
  O_DIRECTORY,
  O_PATH,
  open as openPath,
  openInRoot,
  readKernelFile,
  sendSignal,
  show,
  TsboxError,
} from "../../syscalls/index.ts";
import { ContainerCgroup } from "../cgroup/index.ts";
import { leaveInside, processInside, spawnInside, type SandboxProcess, type SpawnOptions } from "../sandbox/index.ts";
import { addContainerEvent } from "./events.ts";
import { ExecEnd, tellEndedExecs } from "./exec-end.ts";
import { recordOf } from "./find.ts";
import type { Home } from "./home.ts";
import { plainNamespaces } from "./network.ts";
import type { ContainerRecord } from "./record.ts";
import { readSpec } from "./spec-file.ts";
import { notRunning } from "./status.ts";
import { connectPidfd } from "./supervisor.ts";

export interface ExecOptions extends SpawnOptions {
  /** With all capabilities, and without a seccomp filter. */
  privileged?: boolean;
}

/**
 * @throws TsboxError `container_not_found`, `container_state` where it does not run, `invalid_option`, `user_not_found`;
 * all else is told by {@link SandboxProcess.result}
 */
export async function exec(home: Home, id: string, command: string[], options: ExecOptions): Promise<SandboxProcess> {
  const joined = open(home, id, command, options);
  const { record, inside, cgroup } = joined;
  try {
    const killed = cgroup.oomKills();
    const execution = new Execution(home, record, command);
    const { privileged: _, ...spawn } = options;
    const process = spawnInside(inside, spawn, {
      ending: () => undefined,
      counters: () => ({ oomKills: cgroup.oomKills() - killed, pidsDenied: 0 }),
      warnings: [],
      output: { left: Infinity },
      image: undefined,
      afterwards: async (exit) => execution.end(exit ? (exit.exitCode ?? 128 + exit.signal) : 137),
    });
    execution.begin();
    return process;
  } catch (error) {
    throw unlessOver(error, inside.pidfd, id);
  } finally {
    close(inside.pidfd);
  }
}

/** Once it is executed. @throws TsboxError as {@link exec}, and `command_not_found`, … */
export async function execDetached(home: Home, id: string, command: string[], options: ExecOptions): Promise<void> {
  const { record, inside } = open(home, id, command, options);
  try {
    const execution = new Execution(home, record, command);
    // or who executes much and never looks would leave a file of each
    tellEndedExecs(home, record);
    using end = new ExecEnd(home, record, execution.id);
    const begun = Date.now();
    try {
      await leaveInside(inside, end.fd);
    } catch (error) {
      end.forget();
      throw unlessOver(error, inside.pidfd, id);
    }
    execution.begin(begun);
  } finally {
    close(inside.pidfd);
  }
}

function open(home: Home, id: string, command: string[], options: ExecOptions) {
  const record = recordOf(home, id);
  checkStatus(record);
  using directory = home.directory(id);
  const own = directory && readSpec(directory);
  const pidfd = own && connectPidfd(home, id);
  if (!own || pidfd === undefined) throw notRunning(id);
  try {
    const accounts = () => ({ directory: rootOf(record.pid, pidfd, id) });
    const known = { ...record.options, namespaces: plainNamespaces(record.options.namespaces) };
    const process = processInside(command, own, known, options, accounts);
    if (options.cwd !== undefined) checkThere(rootOf(record.pid, pidfd, id), options.cwd);
    const { seccomp: _, landlock: __, ...free } = own.linux;
    const spec = { ...own, process, ...(options.privileged && { linux: free }) };
    const cgroup = new ContainerCgroup(record.cgroup ?? WITHOUT);
    return { record, cgroup, inside: { spec, pidfd, cgroup, sized: false } };
  } catch (error) {
    const told = unlessOver(error, pidfd, id);
    close(pidfd);
    throw told;
  }
}

/** Where its container has ended meanwhile, that is why it failed. */
const unlessOver = (error: unknown, pidfd: number, id: string): unknown =>
  sendSignal(pidfd, 0) < 0 ? notRunning(id) : error;

const WITHOUT = { paths: {}, asked: false, made: false, rootless: true };

/** Docker's words. */
function checkStatus({ id, status }: ContainerRecord): void {
  const refused = (why: string) => new TsboxError(`container ${id} ${why}`, { code: "container_state" });
  if (status === "paused") throw refused("is paused, unpause the container before exec");
  if (status === "restarting") throw refused("is restarting, wait until the container is running");
  if (status !== "running") throw notRunning(id);
}

/** Of its first process, which may be looked into, unlike init. */
function rootOf(init: number, pidfd: number, id: string): string {
  const [first] = (readKernelFile(`/proc/${init}/task/${init}/children`) ?? "").split(" ");
  // it has not ended: the number is its own
  if (!first || sendSignal(pidfd, 0) < 0) throw notRunning(id);
  return `/proc/${first}/root`;
}

/** A sandbox makes one that is missing; nothing is made in what runs, as with Docker. */
function checkThere(root: string, cwd: string): void {
  using opened = new Descriptors();
  const top = opened.add(openPath(root, O_PATH | O_DIRECTORY));
  const ENOENT = 2;
  const fd = openInRoot(top, cwd, O_PATH);
  if (fd >= 0) close(fd);
  if (fd === -ENOENT)
    throw new TsboxError(`chdir to the working directory ${show(cwd)}: it is not there`, {
      code: "file_not_found",
      path: cwd,
    });
}

/** What is told of one. */
class Execution {
  readonly #home: Home;
  readonly #record: ContainerRecord;
  readonly #words: string;
  readonly id = crypto.getRandomValues(new Uint8Array(32)).toHex();

  constructor(home: Home, record: ContainerRecord, command: string[]) {
    this.#home = home;
    this.#record = record;
    this.#words = command.join(" ");
  }

  /** Where it was some time ago, it may have ended since. */
  begin(time = Date.now()): void {
    this.#home.state.transaction(() => {
      for (const action of ["exec_create", "exec_start"]) this.#add(`${action}: ${this.#words}`, {}, time);
    });
  }

  end(exitCode: number): void {
    this.#add("exec_die", { exitCode: String(exitCode) });
  }

  #add(action: string, attributes: Record<string, string>, time = Date.now()): void {
    addContainerEvent(this.#home, this.#record, action, { attributes: { execID: this.id, ...attributes }, time });
  }
}
