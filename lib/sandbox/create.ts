/** A sandbox without a command, made: what the box is then kept by. @module */
import { close, openPidfd, TsboxError } from "../../syscalls/index.ts";
import type { Cgroup } from "../cgroup/index.ts";
import { bury, kill, type Launched } from "../launch/index.ts";
import { isSized } from "../plan/index.ts";
import type { Spec } from "../spec/index.ts";
import { unlessAborted } from "./abort.ts";
import { wayLimitsOf } from "./bandwidth.ts";
import { BoxNetwork } from "./box-network.ts";
import { checkOptions } from "./check-request.ts";
import { groupFor } from "./group.ts";
import { prepare, type ImageInUse } from "./image.ts";
import { launch } from "./launch.ts";
import { PASTA, policyOf } from "./namespaces.ts";
import { Membership } from "./networks.ts";
import type { SandboxOptions } from "./options.ts";
import { portsOf } from "./published-ports.ts";
import { specFor, type Requested } from "./request.ts";
import type { Request } from "./stacked-root.ts";

export interface Made {
  request: Request;
  spec: Spec;
  beside: Requested["beside"];
  sized: boolean;
  launched: Launched;
  /** Of its init. */
  pidfd: number;
  cgroup: Cgroup;
  warnings: readonly string[];
  image: ImageInUse | undefined;
  /** The directory of what is written over an image, open. */
  upper: number | undefined;
  /** What it has in networks. */
  membership: Membership | undefined;
  network: BoxNetwork;
}

/** @throws TsboxError, as `Sandbox.run` */
export async function create(options: SandboxOptions): Promise<Made> {
  checkOptions(options);
  const { request, image } = prepare([], options);
  let membership: Membership | undefined;
  try {
    membership = Membership.of(request, image?.root);
    if (membership) await membership.join();
    return await make(membership?.request ?? request, image, membership);
  } catch (error) {
    await membership?.leave();
    image?.release();
    throw error;
  }
}

async function make(
  request: Request,
  image: ImageInUse | undefined,
  membership: Membership | undefined,
): Promise<Made> {
  const { spec, beside, volumes } = specFor([], request);
  const { cgroup, warnings } = groupFor(spec, request);
  let launched: Launched | undefined;
  let network: BoxNetwork | undefined;
  let pidfd: number;
  try {
    const isPastas = request.network === PASTA;
    network = new BoxNetwork(policyOf(request), portsOf(request), wayLimitsOf(request), isPastas);
    const stdio = { stdin: -1, stdout: -1, stderr: -1 };
    launched = launch(spec, beside, stdio, cgroup, undefined, volumes, network.networking);
    await unlessAborted(untilReady(launched), request.signal);
    if (membership) await unlessAborted(plugIn(membership, launched.pid), request.signal);
    pidfd = openPidfd(launched.pid);
  } catch (error) {
    if (launched) {
      kill(launched);
      await bury(launched);
      const passed = await launched.passed;
      if (passed !== undefined) close(passed);
    }
    await network?.close();
    await cgroup.remove();
    throw error;
  }
  const upper = await launched.passed;
  launched.release();
  cgroup.keepOpen();
  const sized = isSized(beside.root);
  const told = image?.warning === undefined ? warnings : [image.warning, ...warnings];
  return { request, spec, beside, sized, launched, pidfd, cgroup, warnings: told, image, upper, membership, network };
}

/** Init says when everything stands; or a step says why it does not. */
async function untilReady({ control }: Launched): Promise<void> {
  const { ready, failure } = await control.told;
  if (!ready) throw failure ?? new TsboxError("make the sandbox: it ended before it could say why", { code: "system" });
  // a box that nobody waits for does not keep a script from ending
  control.unref();
}

async function plugIn(membership: Membership, pid: number): Promise<void> {
  const { namespaceOf } = await import("../network/index.ts");
  using own = await namespaceOf(pid);
  await membership.plugIn(own);
}
