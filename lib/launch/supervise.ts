/**
 * Starts what is to outlive this process: its owner is a process of its own, which becomes a supervisor.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { ARCH, Descriptors, elfImage, Program, type TsboxError } from "../../syscalls/index.ts";
import { INIT, LIFELINE, SUPERVISOR, supervisorSteps, type SandboxPlan, type Supervision } from "../plan/index.ts";
import { bindControl, bury, executeImage } from "./start.ts";

export interface SupervisedStart {
  compiled: SandboxPlan;
  /** As the plan knows them. */
  bound: Record<string, number>;
  /** What the supervisor has, by `SUPERVISED`: but for the socket to init and `verdict`. */
  kept: Record<string, number>;
  supervision: Supervision;
}

/** What became of it: init's pid on the host, or why it is not there. */
export interface SupervisedResult {
  pid: number;
  failure?: TsboxError;
  /** The supervisor is there, or has written down how it ended. */
  isSupervised: boolean;
}

const [EXECUTED, FAILED] = [1, 2];

/** Once the command is executed, or has failed to be. */
export async function startSupervised({
  compiled,
  bound,
  kept,
  supervision,
}: SupervisedStart): Promise<SupervisedResult> {
  const { promise, verdict } = begin({ compiled, bound, kept, supervision });
  try {
    const { pid, failure } = await promise;
    const sent = sys.send(verdict, Uint8Array.of(failure ? FAILED : EXECUTED));
    return { pid, isSupervised: sent > 0, ...(failure && { failure }) };
  } finally {
    sys.close(verdict);
  }
}

function begin({ compiled, bound, kept, supervision }: SupervisedStart) {
  using opened = new Descriptors();
  const { plan } = compiled;
  const [owner, lifeline] = sys.socketPair();
  const [verdict, theirs] = sys.socketPair();
  const place = opened.add(sys.open("/dev/null", sys.O_RDONLY));
  for (const fd of [owner, lifeline, theirs]) opened.add(fd);
  const supervised = { ...kept, owner, verdict: theirs, [INIT]: place };
  const content = elfImage(new Program(supervisorSteps(supervision), ARCH), supervised);
  const image = opened.add(sys.sealedFile("tsbox-supervisor", content, 0o111));
  const descriptors: Record<string, number> = { ...bound, ...supervised, [LIFELINE]: lifeline, [SUPERVISOR]: image };
  const numbers = new Set(Object.values(descriptors).filter((fd) => fd >= 0));
  try {
    const control = bindControl(descriptors, opened);
    numbers.add(descriptors["control"] as number);
    descriptors["owner"] = owner;
    const program = elfImage(new Program(plan, ARCH), descriptors, descriptors["control"]);
    const launched = executeImage(program, [...numbers], { plan, control, opened });
    return { promise: ended(launched), verdict };
  } catch (error) {
    sys.close(verdict);
    throw error;
  }
}

async function ended(launched: ReturnType<typeof executeImage>): Promise<{ pid: number; failure?: TsboxError }> {
  const { cloned = 0, failure } = await launched.control.ended;
  await bury(launched);
  return { pid: cloned, ...(failure && { failure }) };
}
