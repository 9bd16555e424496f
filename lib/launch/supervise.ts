/**
 * Starts what is to outlive this process: its owner is a process of its own, which becomes a supervisor.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { ARCH, Descriptors, elfImage, Program } from "../../syscalls/index.ts";
import { INIT, LIFELINE, SUPERVISOR, supervisorSteps, type SandboxPlan, type Supervision } from "../plan/index.ts";
import type { Control } from "./control.ts";
import { bindControl, bury, executeImage, type Launched } from "./start.ts";

export interface SupervisedStart {
  compiled: SandboxPlan;
  /** As the plan knows them. */
  bound: Record<string, number>;
  /** What the supervisor has, by `SUPERVISED`: but for the socket to init and `verdict`. */
  kept: Record<string, number>;
  supervision: Supervision;
  /**
   * Does what the plan waits for, from now on.
   * @param reached init's pid on the host, once its namespaces are there; undefined where it has ended before
   */
  meanwhile?: Meanwhile | undefined;
}

export type Meanwhile = (reached: Promise<number | undefined>) => Promise<void>;

/** What became of it: init's pid on the host, or why it is not there. */
export interface SupervisedResult {
  pid: number;
  failure?: unknown;
  /** The supervisor is there, or has written down how it ended. */
  isSupervised: boolean;
}

const [EXECUTED, FAILED] = [1, 2];

/** Once the command is executed, or has failed to be. */
export async function startSupervised(start: SupervisedStart): Promise<SupervisedResult> {
  const { launched, verdict, answered } = begin(start);
  try {
    const { pid, failure } = await ended(launched, answered);
    const sent = sys.send(verdict, Uint8Array.of(failure ? FAILED : EXECUTED));
    // one that is killed may be seen to leave before it leaves
    return { pid, isSupervised: pid > 0 && sent > 0, ...(failure !== undefined && { failure }) };
  } finally {
    sys.close(verdict);
  }
}

function begin({ compiled, bound, kept, supervision, meanwhile }: SupervisedStart) {
  using opened = new Descriptors();
  const { plan } = compiled;
  const [owner, lifeline] = sys.socketPair();
  const [verdict, theirs] = sys.socketPair();
  const place = opened.add(sys.open("/dev/null", sys.O_RDONLY));
  for (const fd of [owner, lifeline, theirs]) opened.add(fd);
  const supervised = { ...kept, owner, verdict: theirs, [INIT]: place };
  const content = elfImage(new Program(supervisorSteps(supervision, meanwhile !== undefined), ARCH), supervised);
  const image = opened.add(sys.sealedFile("tsbox-supervisor", content, 0o111));
  const descriptors: Record<string, number> = { ...bound, ...supervised, [LIFELINE]: lifeline, [SUPERVISOR]: image };
  const numbers = new Set(Object.values(descriptors).filter((fd) => fd >= 0));
  try {
    const control = bindControl(descriptors, opened);
    numbers.add(descriptors["control"] as number);
    descriptors["owner"] = owner;
    const program = elfImage(new Program(plan, ARCH), descriptors, descriptors["control"]);
    const there = Promise.withResolvers<void>();
    const launched = executeImage(program, [...numbers], { plan, control, opened }, { reached: () => there.resolve() });
    const answered = meanwhile && answer(launched.control, there.promise, meanwhile);
    return { launched, verdict, answered };
  } catch (error) {
    sys.close(verdict);
    throw error;
  }
}

const GO = 1;

async function answer(control: Control, there: Promise<void>, meanwhile: Meanwhile): Promise<void> {
  const over = control.ended.then(() => true);
  await meanwhile(Promise.race([over, there]).then((isOver) => (isOver ? undefined : control.cloned)));
  control.send(GO);
}

async function ended(launched: Launched, answered?: Promise<void>): Promise<{ pid: number; failure?: unknown }> {
  try {
    const broken = new Promise<never>((_, reject) => void answered?.catch(reject));
    const { cloned = 0, failure } = await Promise.race([launched.control.ended, broken]);
    // where it has failed meanwhile, nothing more is made for it once that is told
    await answered?.catch(() => {});
    return { pid: cloned, ...(failure && { failure }) };
  } catch (failure) {
    // whoever waits for an answer ends without one
    return { pid: 0, failure };
  } finally {
    await bury(launched);
  }
}
