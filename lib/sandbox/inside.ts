/**
 * A further process in what runs already: started, and what it is. @module
 */
import * as sys from "../../syscalls/index.ts";
import { findUser, type Accounts } from "../accounts/index.ts";
import { bury, type Launched } from "../launch/index.ts";
import type { Process, Spec } from "../spec/index.ts";
import { additionalGidsOf } from "./attributes.ts";
import { capabilitySets } from "./capabilities.ts";
import { checkCommand } from "./check-request.ts";
import { checkPath, checkSignal, checkText } from "../options/index.ts";
import { join, type Joinable } from "./launch.ts";
import { Listener, type SyscallHandler } from "./notify.ts";
import type { SandboxOptions, SpawnOptions } from "./options.ts";
import { closePipes, openPipes } from "./pipes.ts";
import { privilegedSecurity } from "./privileged.ts";
import { SandboxProcess, type Surroundings } from "./process.ts";
import { checkSpawnOptions, environment, withOwnGroup } from "./request.ts";
import { terminalOf } from "./terminal.ts";

/** What a process joins. */
export interface Inside {
  /** With the process that it is to be. */
  spec: Spec;
  /** Of its init. */
  pidfd: number;
  cgroup: Joinable;
  /** Its root filesystem has a size of its own. */
  sized: boolean;
  notify?: SyscallHandler | undefined;
}

/** @throws TsboxError what is known before it runs; all else is told by {@link SandboxProcess.result} */
export function spawnInside(
  { spec, pidfd, cgroup, sized, notify }: Inside,
  options: SpawnOptions,
  around: Omit<Surroundings, "joined">,
): SandboxProcess {
  const started = performance.now();
  const pipes = openPipes({ stderr: "inherit", ...options });
  let launched: Launched;
  let listener: Listener | undefined;
  try {
    listener = Listener.for(spec, notify);
    launched = join(spec, pidfd, pipes.stdio, cgroup, sized);
    listener?.attach(launched, spec);
  } catch (error) {
    closePipes(pipes);
    void listener?.end();
    throw error;
  }
  for (const fd of pipes.theirs.splice(0)) sys.close(fd);
  const afterwards: Surroundings["afterwards"] = async (exit) => {
    await listener?.end();
    await around.afterwards(exit);
  };
  return new SandboxProcess(launched, pipes, { ...around, joined: true, afterwards }, started, options.signal);
}

/**
 * One that nobody waits for: it goes on when this program ends, and ends with its sandbox.
 * @param record a file to which the exit frame is written in the end
 * @returns once it is executed
 * @throws TsboxError where it cannot be
 */
export async function leaveInside({ spec, pidfd, cgroup, sized }: Inside, record: number): Promise<void> {
  const launched = join(spec, pidfd, { stdin: -1, stdout: -1, stderr: -1 }, cgroup, sized, "detached", { record });
  // the command has the other end of the socket until it is executed
  const { failure } = await launched.control.ended;
  if (failure) {
    await bury(launched);
    throw failure;
  }
  launched.control.close();
  launched.release();
}

/** What is said of a process besides what the first one is. */
export interface InsideOptions extends SpawnOptions {
  /** With all capabilities; setuid programs count where `security` does not say otherwise. */
  privileged?: boolean;
}

type Known = Pick<SandboxOptions, "groups" | "security" | "namespaces" | "env">;

/**
 * As the first process of what it joins, but for what is said.
 * @param known what that one was asked for
 * @param accounts where names of users are looked up
 * @throws TsboxError `invalid_option`, `user_not_found`
 */
export function processInside(
  command: string[],
  own: Spec,
  known: Known,
  { privileged = false, ...more }: InsideOptions,
  accounts: () => Accounts,
): Process {
  checkCommand(command);
  checkSpawnOptions(more);
  checkSignal(more.signal);
  const { terminal: _, consoleSize: __, ...first } = own.process;
  const terminal = terminalOf(more, known);
  const isWhole = privileged || known.security?.privileged === true;
  const ofHost = !own.linux.namespaces.some(({ type }) => type === "user");
  const security = isWhole ? privilegedSecurity(known.security, ofHost) : known.security;
  const { user, home } = more.user === undefined ? { user: first.user } : userInside(more.user, own, known, accounts());
  const env = { ...terminal.env, ...recordOf(first.env) };
  if (home !== undefined && known.env?.["HOME"] === undefined) env["HOME"] = home;
  return {
    ...first,
    ...terminal.process,
    args: command,
    user,
    env: environment(env, more.env),
    cwd: more.cwd === undefined ? first.cwd : checkPath("working directory", more.cwd),
    capabilities: capabilitySets(security, user.uid),
    ...(isWhole && { noNewPrivileges: security?.noNewPrivileges === true }),
  };
}

function userInside(name: string, { process, linux }: Spec, known: Known, accounts: Accounts) {
  const { home, ...user } = findUser(checkText("user", name), accounts);
  const asked = known.groups === undefined ? [] : additionalGidsOf(known, accounts);
  // of one id alone, no other can be had
  const hasOne = linux.gidMappings?.length === 1 && linux.gidMappings[0]?.size === 1;
  const additionalGids = hasOne ? [] : [...new Set([...withOwnGroup(user), ...asked])];
  return { user: { ...process.user, ...user, additionalGids }, home };
}

function recordOf(env: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    env.map((variable) => {
      const equals = variable.indexOf("=");
      return [variable.slice(0, equals), variable.slice(equals + 1)];
    }),
  );
}
