/** One command in a sandbox of its own, which ends with it. @module */
import { close, networkOf } from "../../syscalls/index.ts";
import type { Cgroup } from "../cgroup/index.ts";
import type { Launched } from "../launch/index.ts";
import { wayLimitsOf } from "./bandwidth.ts";
import { BoxNetwork } from "./box-network.ts";
import { UsageMeter } from "./box-usage.ts";
import { checkCommand, checkRequest } from "./check-request.ts";
import { watchCpuTime } from "./cpu-time.ts";
import { cpuTimeLimit, groupFor, outputLimit, timeLimit } from "./group.ts";
import { prepare, preparedOf } from "./image.ts";
import { launch, type Networking } from "./launch.ts";
import { Listener } from "./notify.ts";
import { PASTA, policyOf } from "./namespaces.ts";
import { Membership } from "./networks.ts";
import type { RunOptions } from "./options.ts";
import { closePipes, openPipes } from "./pipes.ts";
import { SandboxProcess, type Surroundings } from "./process.ts";
import { portsOf } from "./published-ports.ts";
import { requestedFor } from "./repeated.ts";
import { StackedRoot, type Request } from "./stacked-root.ts";

/** @throws TsboxError for what is known before it runs */
export function spawnAlone(given: string[], asked: RunOptions): SandboxProcess {
  checkRequest(asked);
  const { command, request, image } = prepare(given, asked);
  try {
    checkCommand(command, image?.image.reference);
    return start(command, request, image);
  } catch (error) {
    image?.release();
    throw error;
  }
}

/**
 * The same over layers that the caller holds: what is written goes to `writableLayer`.
 * @param layers absolute paths, top first @param otherwise a directory, where there are none
 */
export function spawnOver(
  layers: readonly string[],
  otherwise: string,
  command: string[],
  asked: RunOptions,
): SandboxProcess {
  checkRequest(asked);
  checkCommand(command);
  const stack = new StackedRoot(layers, [], otherwise);
  const config = { os: "linux", architecture: "", rootfs: { type: "layers" as const, diff_ids: [] } };
  const { request } = preparedOf(command, asked, { config, stack });
  return start(command, request, undefined);
}

function start(command: string[], asked: Request, image: ReturnType<typeof prepare>["image"]): SandboxProcess {
  const membership = Membership.of(asked, image?.root);
  try {
    return startIn(membership, command, membership?.request ?? asked, image);
  } catch (error) {
    void membership?.leave();
    throw error;
  }
}

function startIn(
  membership: Membership | undefined,
  command: string[],
  options: Request,
  image: ReturnType<typeof prepare>["image"],
): SandboxProcess {
  const [timeMs, output] = [timeLimit(options), { left: outputLimit(options) }];
  const started = performance.now();
  const { spec, beside: wanted, volumes } = requestedFor(command, options);
  const beside = membership ? { sockets: "one" as const, ...wanted } : wanted;
  const { cgroup, warnings } = groupFor(spec, options);
  const pipes = openAll(options, cgroup);
  let launched: Launched;
  let listener: Listener | undefined;
  let network: BoxNetwork | undefined;
  try {
    const [policy, ports] = [policyOf(options), portsOf(options)];
    const isPastas = options.network === PASTA;
    if (policy || ports.length > 0 || isPastas) network = new BoxNetwork(policy, ports, wayLimitsOf(options), isPastas);
    listener = Listener.for(spec, options.security?.notify);
    const networking = network?.networking;
    const ready = membership ? plugging(membership, () => launched.pid, networking) : networking;
    launched = launch(spec, beside, pipes.stdio, cgroup, undefined, volumes, ready);
    // meanwhile; who waits for it is told of what fails
    membership?.join().catch(() => {});
    listener?.attach(launched, spec);
  } catch (error) {
    closePipes(pipes);
    void listener?.end();
    void network?.close();
    void cgroup.remove();
    throw error;
  }
  for (const fd of pipes.theirs.splice(0)) close(fd);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let endWatch: (() => void) | undefined;
  const around: Surroundings = {
    ending: () => undefined,
    counters: () => cgroup.counters(),
    output,
    warnings: image?.warning === undefined ? warnings : [image.warning, ...warnings],
    joined: false,
    image: image?.image,
    ...(network ? { denied: () => network?.denied ?? [] } : {}),
    afterwards() {
      clearTimeout(timer);
      endWatch?.();
      image?.release();
      return Promise.all([cgroup.remove(), listener?.end(), network?.close(), membership?.leave()]).then(() => {});
    },
  };
  const process = new SandboxProcess(launched, pipes, around, started, options.signal);
  if (timeMs !== undefined) timer = setTimeout(() => process.end("timeout"), timeMs);
  if (network) network.spent = () => process.end("network");
  const cpuMs = cpuTimeLimit(options);
  if (cpuMs !== undefined) {
    const meter = new UsageMeter(cgroup, () => [launched.pid]);
    endWatch = watchCpuTime(
      cpuMs,
      () => meter.cpuMs(),
      () => process.end("cpu-time"),
    );
  }
  return process;
}

/** Puts it into its networks, once what else is to be ready is. @param others what that is */
function plugging(membership: Membership, pid: () => number, others: Networking | undefined): Networking {
  return async (sockets) => {
    const descriptor = networkOf(sockets.tcp4);
    const end = others ? await others(sockets) : close(sockets.tcp4);
    const { namespaceAt } = await import("../network/index.ts");
    using own = await namespaceAt(descriptor, pid());
    await membership.plugIn(own);
    return () => end?.();
  };
}

function openAll(options: Request, cgroup: Cgroup) {
  try {
    return openPipes({ stderr: "inherit", ...options });
  } catch (error) {
    void cgroup.remove();
    throw error;
  }
}
